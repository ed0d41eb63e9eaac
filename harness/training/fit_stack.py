"""The training loop of `fit` for many heads at once: one kernel does a step of all of them.

On CUDA a step is captured as a graph, for which every shape is fixed: batches are filled up to the widest, and fits
that have no batch left in an epoch wait for the others. The filling has weight 0, and a fit that waits does not change.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.dataset import Rows
from harness.models.dropout import dropout_mask
from harness.models.heads import Shape
from harness.models.stacked_heads import StackedHead
from harness.stats.metrics import Probabilities
from harness.study.identity import derive_seed
from harness.training.capture import capture
from harness.training.fit import shuffled_batches, training_metrics
from harness.training.fit_history import FitHistory, Fitted
from harness.training.learning_rate import learning_rates, rate_metrics
from harness.training.loaders import ResidentFeatures
from harness.training.losses import stacked_loss
from harness.training.optimizers import StackedOptimizer
from harness.training.task import EVALUATED, FitJob


def fit_stack(
    heads: Sequence[nn.Module], jobs: Sequence[FitJob], features: ResidentFeatures, shape: Shape
) -> list[Fitted | FloatingPointError]:
    """Train one head for each job, and return what `fit` gives for it, up to rounding, or why it failed.

    The settings of all jobs name the same head, dropout, batch size, number of epochs, loss with its smoothing and
    optimizer, and all are scored after every epoch. A loss that is not finite fails that job only. shape: of a map.
    """
    stack = _Stack(heads, jobs, features, shape)
    histories = [FitHistory(job) for job in jobs]
    failed: dict[int, FloatingPointError] = {}
    for epoch in range(1, jobs[0].settings.epochs + 1):
        losses, hits = stack.train(epoch)
        probabilities = stack.predict()
        for index, (job, history) in enumerate(zip(jobs, histories, strict=True)):
            if index in failed:
                continue
            try:
                batches = losses[index, : len(stack.sizes[index])]
                metrics = training_metrics(batches, int(hits[index]), len(job.task.train), epoch)
                metrics |= rate_metrics(job.settings, epoch, len(stack.sizes[index]))
                metrics |= history.select(epoch, {EVALUATED: probabilities[index]})
            except FloatingPointError as error:
                failed[index] = error
                continue
            history.add(epoch, metrics)
    return [failed.get(index) or history.fitted for index, history in enumerate(histories)]


class _Stack:
    """Heads, optimizer and the buffers of a step, all on the device.

    sizes: of the batches of each fit, the same in every epoch.
    """

    def __init__(
        self, heads: Sequence[nn.Module], jobs: Sequence[FitJob], features: ResidentFeatures, shape: Shape
    ) -> None:
        self._jobs, self._features, self._shape = jobs, features, shape
        self._labels = jobs[0].task.labels
        self._device = self._labels.device
        self._head = StackedHead(heads, shape)
        self._loss = stacked_loss(jobs)
        self._optimizer = StackedOptimizer(self._head.parameters, [job.settings for job in jobs])
        self.sizes = [[len(batch) for batch in batches] for batches in self._batches(1)]
        fits, steps, width = len(jobs), max(map(len, self.sizes)), max(map(max, self.sizes))
        self._rows = torch.zeros(fits, steps, width, dtype=torch.int64, device=self._device)
        self._weight = torch.zeros(fits, steps, width, device=self._device)
        self._rates = torch.zeros(fits, steps, device=self._device)
        self._steps = torch.arange(steps, device=self._device)
        self._at = torch.zeros(1, dtype=torch.int64, device=self._device)  # the step that comes next
        self._losses = torch.zeros(fits, steps, device=self._device)  # of each batch, summed over its images
        self._hits = torch.zeros(fits, device=self._device)
        self._mask = torch.ones(fits, width, *shape, device=self._device) if self._head.p else None
        self._load(1)
        self._advance = self._captured() if self._device.type == "cuda" else self._step

    def train(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Train an epoch; return the losses [fits, steps], summed over the images of a batch, and the hits [fits]."""
        self._load(epoch)
        generators = [
            torch.Generator(self._device).manual_seed(derive_seed(job.seed, "dropout", epoch)) for job in self._jobs
        ]
        for step in range(len(self._steps)):
            self._drop(step, generators)
            self._advance()
        return self._losses.cpu(), self._hits.cpu()

    def predict(self) -> list[Probabilities]:
        """Return the probabilities [n, classes] of the rows that each fit is scored on."""
        evaluated = [job.task.evaluate for job in self._jobs]
        rows = torch.from_numpy(_filled(evaluated, max(map(len, evaluated)))).to(self._device)
        kind = self._head.reads(training=False)
        with torch.inference_mode():
            parts = torch.split(rows, self._jobs[0].settings.batch_size, dim=1)
            logits = torch.cat([self._head.evaluate(self._features.rows(part, kind)) for part in parts], dim=1)
        probabilities = logits.cpu().double().softmax(dim=2).numpy()
        return [filled[: len(rows)] for filled, rows in zip(probabilities, evaluated, strict=True)]

    def _batches(self, epoch: int) -> list[list[Rows]]:
        """The batches of every fit."""
        return [
            [*shuffled_batches(job.task.train, job.settings.batch_size, derive_seed(job.seed, "order", epoch))]
            for job in self._jobs
        ]

    def _load(self, epoch: int) -> None:
        """Fill the buffers for an epoch and go to its first step."""
        width = self._rows.shape[2]
        rows = np.tile(self._jobs[0].task.train[:1], self._rows.shape)
        weight, rates = np.zeros(self._rows.shape, dtype=np.float32), np.zeros(self._rates.shape, dtype=np.float32)
        for fit, batches in enumerate(self._batches(epoch)):
            rows[fit, : len(batches)] = _filled(batches, width)
            weight[fit, : len(batches)] = np.arange(width) < np.array(self.sizes[fit])[:, None]
            rates[fit, : len(batches)] = learning_rates(self._jobs[fit].settings, epoch, len(batches))
        self._rows.copy_(torch.from_numpy(rows))
        self._weight.copy_(torch.from_numpy(weight))
        self._rates.copy_(torch.from_numpy(rates))
        for buffer in (self._at, self._losses, self._hits):
            buffer.zero_()

    def _drop(self, step: int, generators: Sequence[torch.Generator]) -> None:
        """Draw the masks of a step, those that each fit alone would draw."""
        if self._mask is None:
            return
        for fit, (sizes, generator) in enumerate(zip(self.sizes, generators, strict=True)):
            if step < len(sizes):
                shape = (sizes[step], *self._shape)
                self._mask[fit, : sizes[step]] = dropout_mask(shape, self._head.p, self._device, generator)

    def _step(self) -> None:
        """Make a step of every fit that has a batch left. It reads and writes buffers only, and nothing waits."""
        rows, weight = (buffer.index_select(1, self._at).squeeze(1) for buffer in (self._rows, self._weight))
        features = self._features.rows(rows, self._head.reads(training=True))
        logits, labels = self._head.train(features, weight, self._mask), self._labels[rows]
        losses = self._loss(logits, labels)
        images = weight.sum(dim=1)
        summed = torch.where(weight > 0, losses, 0).sum(dim=1)
        gradients = torch.autograd.grad((summed / images.clamp(min=1)).sum(), self._head.parameters)
        rates = self._rates.index_select(1, self._at).squeeze(1)
        self._optimizer.step(gradients, rates, images > 0)
        with torch.no_grad():
            self._losses.copy_(torch.where(self._steps == self._at, summed[:, None], self._losses))
            self._hits += ((logits.argmax(dim=2) == labels) * weight).sum(dim=1)
            self._at += 1

    def _captured(self) -> Callable[[], None]:
        """Capture the step as a CUDA graph, and undo what the capture changed."""
        changed = [*self._head.state.values(), *self._optimizer.state, self._at, self._losses, self._hits]
        before = [buffer.detach().clone() for buffer in changed]

        @torch.no_grad()
        def restore() -> None:
            for buffer, value in zip(changed, before, strict=True):
                buffer.copy_(value)

        return capture(self._step, self._device, restore)[0]


def _filled(rows: Sequence[Rows], width: int) -> Rows:
    """Rows of different numbers as one array [len(rows), width], filled up with the first of each."""
    return np.stack([np.concatenate([part, np.full(width - len(part), part[0])]) for part in rows])
