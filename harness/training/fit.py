"""The training loop, in full view."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.stats.metrics import Probabilities, classification_metrics
from harness.store.results import Metrics
from harness.study.identity import derive_seed
from harness.study.settings import Settings
from harness.training.augment import Augmentation
from harness.training.checkpoint import Checkpoints, Selected
from harness.training.device import autocast
from harness.training.loaders import Inputs, Rows
from harness.training.optimizers import make_optimizer


@dataclass(frozen=True)
class Task:
    """What is to be learnt: `labels` [images of the manifest] on the device, rows of the manifest on each side."""

    labels: Tensor
    train: Rows  # after oversampling
    evaluate: Rows
    positive: int | None
    every_epoch: bool  # False on the test set, which is looked at once


@dataclass(frozen=True)
class Fitted:
    """The curves of a fit, and the probabilities [n, classes] of its selected epoch."""

    history: list[Metrics]
    selected_epoch: int  # from 1
    metrics: Metrics  # of the images evaluated, without a prefix
    probabilities: Probabilities


def fit(
    model: nn.Module,
    inputs: Inputs,
    task: Task,
    settings: Settings,
    seed: int,
    precision: str,
    on_epoch: Callable[[int, Metrics], None],
    micro_batch: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """The model trained for `settings.epochs`, from its last checkpoint on if there is one.

    micro_batch: how many images go through the network at a time, where it is less than a batch. Their gradients add up
    to the batch's, but batch norm sees only them.
    Raises FloatingPointError where the loss is not finite. What else a batch raises says where.
    """
    micro_batch = micro_batch or settings.batch_size
    optimizer = make_optimizer(model, settings)
    device = task.labels.device
    checkpoints = checkpoints or Checkpoints(None, None, {})
    course = Course(task, settings, on_epoch, *checkpoints.load(model, optimizer))
    while course.epoch <= settings.epochs:
        metrics = _train_epoch(model, optimizer, inputs, task, settings, seed, course.epoch, precision, micro_batch)
        scored = course.is_scored
        course.add(metrics, predict(model, inputs, task.evaluate, micro_batch, precision, device) if scored else None)
        if course.epoch <= settings.epochs:
            checkpoints.save(model, optimizer, course.history, course.selected)
    return course.fitted


class Course:
    """A fit as it goes: its epochs are told, its curves grow, an epoch is selected.

    history, selected: what was done before, which is told again.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        on_epoch: Callable[[int, Metrics], None],
        history: list[Metrics] | None = None,
        selected: Selected | None = None,
    ) -> None:
        self._task, self._settings, self._on_epoch = task, settings, on_epoch
        self._truth = task.labels.cpu().numpy()[task.evaluate]
        self.history = history or []
        self.selected = selected
        for epoch, metrics in enumerate(self.history, start=1):
            on_epoch(epoch, metrics)

    @property
    def epoch(self) -> int:
        """The one that comes next, from 1."""
        return len(self.history) + 1

    @property
    def is_scored(self) -> bool:
        """Whether predictions are made after the epoch that comes next."""
        return self._task.every_epoch or self.epoch == self._settings.epochs

    @property
    def fitted(self) -> Fitted:
        """The result, after the last epoch."""
        assert self.selected is not None
        return Fitted(self.history, *self.selected)

    def add(self, metrics: Metrics, probabilities: Probabilities | None) -> None:
        """Takes in an epoch: its training metrics, and what was predicted where it is scored.

        Raises FloatingPointError where the predictions are not finite.
        """
        epoch = self.epoch
        if probabilities is not None:
            if not np.isfinite(probabilities).all():
                raise FloatingPointError(f"the predictions are not finite after epoch {epoch}")
            scores = classification_metrics(probabilities, self._truth, self._task.positive)
            if self._task.every_epoch:
                metrics = metrics | {f"val/{name}": value for name, value in scores.items()}
            if self._replaces(scores):
                self.selected = epoch, scores, probabilities
        self.history.append(metrics)
        self._on_epoch(epoch, metrics)

    def _replaces(self, scores: Metrics) -> bool:
        """Whether an epoch with these scores replaces the one selected so far."""
        if self.selected is None or self._settings.select_epoch == "last" or not self._task.every_epoch:
            return True
        return scores["accuracy"] > self.selected[1]["accuracy"]


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Inputs,
    task: Task,
    settings: Settings,
    seed: int,
    epoch: int,
    precision: str,
    micro_batch: int,
) -> Metrics:
    """The training metrics of one epoch, after its steps. All that is random in it is drawn from (seed, epoch)."""
    torch.manual_seed(derive_seed(seed, "dropout", epoch))
    device = task.labels.device
    augment = Augmentation(settings.augment, len(task.train), derive_seed(seed, "augment", epoch), device)
    order = shuffled_batches(task.train, settings.batch_size, derive_seed(seed, "order", epoch))
    losses, guesses, truths, sizes, seen = [], [], [], [], 0
    model.train()
    for number, batch in enumerate(order, start=1):
        optimizer.zero_grad(set_to_none=True)
        with _located(epoch, number):
            for rows in micro_batches(batch, micro_batch) if micro_batch < settings.batch_size else [batch]:
                labels = task.labels[torch.from_numpy(rows).to(device)]
                images = augment(inputs(rows), seen)
                with autocast(precision, device):
                    logits = model(images)
                loss = cross_entropy(logits.float(), labels)
                part = loss if len(rows) == len(batch) else loss * (len(rows) / len(batch))
                part.backward()  # type: ignore[no-untyped-call]
                seen += len(rows)
                losses.append(loss.detach())
                guesses.append(logits.detach())
                truths.append(labels)
                sizes.append(len(rows))
            optimizer.step()
    hits = int((torch.cat(guesses).argmax(dim=1) == torch.cat(truths)).sum())  # read from the device once in an epoch
    return training_metrics(torch.stack(losses).cpu() * torch.tensor(sizes), hits, len(task.train), epoch)


@contextmanager
def _located(epoch: int, batch: int) -> Iterator[None]:
    """Adds the place to whatever goes wrong in a batch, such as a device without memory."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in epoch {epoch}, batch {batch}")
        raise


def shuffled_batches(rows: Rows, size: int, seed: int) -> Iterator[Rows]:
    """The rows in a random order, `size` at a time. A last row alone joins the batch before: batch norm needs two."""
    order = np.random.default_rng(seed).permutation(rows)
    last = len(order) - 1 if len(order) % size == 1 and len(order) > size else len(order)
    for start in range(0, last, size):
        stop = start + size
        yield order[start:] if stop >= last else order[start:stop]


def micro_batches(batch: Rows, size: int) -> list[Rows]:
    """A batch in parts of at most `size` rows, nearly equal; none is a single row unless the batch is."""
    return np.array_split(batch, max(1, min(-(-len(batch) // size), len(batch) // 2)))


def predict(
    model: nn.Module, inputs: Inputs, rows: Rows, size: int, precision: str, device: torch.device
) -> NDArray[np.float64]:
    """The probabilities [n, classes] of these rows, the model in evaluation mode."""
    model.eval()
    with torch.inference_mode(), autocast(precision, device):
        logits = [model(inputs(rows[start : start + size])).float() for start in range(0, len(rows), size)]
    return torch.cat(logits).cpu().double().softmax(dim=1).numpy()


def training_metrics(losses: Tensor, hits: int, images: int, epoch: int) -> Metrics:
    """Means over the epoch as the model trained. losses: of each batch, summed over its images.

    Raises FloatingPointError where one is not finite.
    """
    if not losses.isfinite().all():
        batch = int((~losses.isfinite()).nonzero()[0]) + 1
        raise FloatingPointError(f"the loss is {losses[batch - 1].item()} in epoch {epoch}, batch {batch}")
    return {"train/loss": float(losses.double().sum()) / images, "train/accuracy": hits / images}
