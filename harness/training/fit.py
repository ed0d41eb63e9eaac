"""The training loop, in full view."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.data.dataset import Rows
from harness.stats.metrics import Probabilities, classification_metrics
from harness.store.results import Metrics
from harness.study.identity import derive_seed
from harness.training.augment import Augmentation
from harness.training.checkpoint import Checkpoints, Selected
from harness.training.device import Arithmetic
from harness.training.learner import make_learner
from harness.training.learning_rate import is_scheduled, learning_rates, rate_metrics
from harness.training.loaders import Loader, on_device, parts_of
from harness.training.losses import make_loss
from harness.training.mixing import Mixing
from harness.training.step import Steps
from harness.training.stopping import Stopping
from harness.training.task import FitJob, Task


@dataclass(frozen=True)
class Fitted:
    """The curves of a fit, and the probabilities [n, classes] of its selected epoch."""

    history: list[Metrics]
    selected_epoch: int  # from 1
    metrics: Metrics  # of the images evaluated, without a prefix
    probabilities: Probabilities
    captured: bool = False  # its steps ran as CUDA graphs
    fallbacks: tuple[str, ...] = ()  # what was done otherwise than it should have been, and why
    chosen: Mapping[str, float] = field(default_factory=dict)  # by a probe, on its inner split
    further: Mapping[str, Probabilities] = field(default_factory=dict)  # of the further test sets, by name
    earlier_seconds: float = 0.0  # of the epochs that a process before this one trained


def fit(
    model: nn.Module,
    loader: Loader,
    job: FitJob,
    arithmetic: Arithmetic,
    micro_batch: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Train the model for `settings.epochs`, from its last checkpoint on if there is one.

    micro_batch: how many images go through the network at a time, where it is less than a batch. Their gradients add up
    to the batch's, but batch norm sees only them.
    Raises FloatingPointError where the loss is not finite. What else a batch raises says where.
    """
    settings, micro_batch = job.settings, micro_batch or job.settings.batch_size
    learner = make_learner(model, job)
    checkpoints = checkpoints or Checkpoints(None, None, {})
    history = FitHistory(job, *checkpoints.load(learner))
    history.report()
    steps = Steps(learner, arithmetic, micro_batch, make_loss(job))
    scorings = settings.epochs if job.task.every_epoch else 1
    score = partial(steps.score, planned=scorings * (len(job.task.evaluate) // micro_batch))
    predicted = partial(predict, model, loader, batch_size=micro_batch, score=score)
    for epoch in range(history.next_epoch, settings.epochs + 1):
        torch.manual_seed(derive_seed(job.seed, "dropout", epoch))
        metrics = _train_epoch(steps, loader, job, epoch)
        with learner.averaged():
            if learner.stopping:
                metrics |= learner.stopping.see(epoch, model, predicted)
            if job.task.every_epoch:
                metrics |= history.select(epoch, predicted(job.task.evaluate), learner.stopping)
        history.add(epoch, metrics)
        job.on_epoch(epoch, metrics)
        if learner.stopping and learner.stopping.ends(epoch):
            break
        if epoch < settings.epochs:
            checkpoints.save(learner, history.epochs, history.selected)
    learner.finish()
    if not job.task.every_epoch:
        if settings.lora_rank:
            steps.merge()  # what predicts is what is stored
        history.select(learner.stopping.epoch if learner.stopping else settings.epochs, predicted(job.task.evaluate))
    further = predict_further(model, loader, job.task, micro_batch, score)
    return replace(
        history.fitted, captured=steps.captured, fallbacks=tuple(steps.fallbacks), further=further,
        earlier_seconds=checkpoints.earlier_seconds,
    )  # fmt: skip


class FitHistory:
    """The metrics of every epoch so far, and the epoch that is selected."""

    def __init__(self, job: FitJob, epochs: list[Metrics] | None = None, selected: Selected | None = None) -> None:
        self._job, self._true = job, job.task.labels.cpu().numpy()[job.task.evaluate]
        self.epochs, self.selected = epochs or [], selected

    @property
    def next_epoch(self) -> int:
        """The epoch to train next, from 1."""
        return len(self.epochs) + 1

    @property
    def fitted(self) -> Fitted:
        """The result, after the last epoch."""
        assert self.selected is not None
        return Fitted(self.epochs, *self.selected)

    def report(self) -> None:
        """Report the epochs of a checkpoint to the callback again."""
        for epoch, metrics in enumerate(self.epochs, start=1):
            self._job.on_epoch(epoch, metrics)

    def select(self, epoch: int, probabilities: Probabilities, stopping: Stopping | None = None) -> Metrics:
        """Score the predictions after an epoch, select it by `select_epoch`, and return its validation metrics.

        With `stopping`, the epoch that it holds to be the best is selected.

        On the test set it returns none: there the scores are the result.
        Raises FloatingPointError where the predictions are not finite.
        """
        if not np.isfinite(probabilities).all():
            raise FloatingPointError(f"the predictions are not finite after epoch {epoch}")
        scores = classification_metrics(probabilities, self._true, self._job.task.positive)
        if self._replaces(scores) if stopping is None else stopping.epoch == epoch:
            self.selected = Selected(epoch, scores, probabilities)
        return {f"val/{name}": value for name, value in scores.items()} if self._job.task.every_epoch else {}

    def add(self, epoch: int, metrics: Metrics) -> None:
        """Append the metrics of the epoch that was trained."""
        assert epoch == self.next_epoch
        self.epochs.append(metrics)

    def _replaces(self, scores: Metrics) -> bool:
        """Whether an epoch with these scores replaces the one selected so far."""
        if self.selected is None or self._job.settings.select_epoch == "last" or not self._job.task.every_epoch:
            return True
        return scores["accuracy"] > self.selected.metrics["accuracy"]


def _train_epoch(steps: Steps, loader: Loader, job: FitJob, epoch: int) -> Metrics:
    """Make a step for each batch, and return the training metrics."""
    batches = _batches(job, epoch, steps.batch)
    rows, shares = zip(*((part, len(part) / sum(map(len, batch))) for batch in batches for part in batch), strict=True)
    rates = map(float, learning_rates(job.settings, epoch, len(batches)))
    mixing = Mixing(job.settings, [*map(len, batches)], derive_seed(job.seed, "mix", epoch))
    labels = [job.task.labels[part] for part in on_device(rows, job.task.labels.device)]
    targets = mixing.labels(labels, job.classes)
    planned, losses, logits = job.settings.epochs * (len(job.task.train) // steps.batch), list[Tensor](), list[Tensor]()
    steps.hold(epoch <= job.settings.head_epochs)
    with steps.training(forwards=len(rows)):  # what a head reads depends on the mode
        parts = zip(mixing.images(_augmented(loader(rows), job, epoch)), targets, shares, strict=True)
        for number, (batch, rate) in enumerate(zip(batches, rates, strict=True), start=1):
            with _located(epoch, number):
                if is_scheduled(job.settings):
                    steps.set_rate(rate)
                of_batch = steps.train(islice(parts, len(batch)), planned)
            losses += of_batch[0]
            logits += of_batch[1]
    hits = int((torch.cat(logits).argmax(dim=1) == _largest(torch.cat(targets))).sum())  # read once in an epoch
    sizes = torch.tensor([len(part) for part in rows])
    found = training_metrics(torch.stack(losses).cpu() * sizes, hits, int(sizes.sum()), epoch)
    return found | rate_metrics(job.settings, epoch, len(batches))


def _largest(targets: Tensor) -> Tensor:
    """The class [n] that has the largest share of each image; of images that are not mixed their label."""
    return targets if targets.ndim == 1 else targets.argmax(dim=1)


def _batches(job: FitJob, epoch: int, micro_batch: int) -> list[list[Rows]]:
    """The batches of an epoch in their order, each in parts that go through the network at a time."""
    size = job.settings.batch_size
    batches = shuffled_batches(job.task.train, size, derive_seed(job.seed, "order", epoch))
    return [micro_batches(batch, micro_batch) if micro_batch < size else [batch] for batch in batches]


def _augmented(images: Iterator[Tensor], job: FitJob, epoch: int) -> Iterator[Tensor]:
    """The images of an epoch, each part augmented. All that is random is drawn from the seed and the epoch."""
    seed, device = derive_seed(job.seed, "augment", epoch), job.task.labels.device
    augment, seen = Augmentation(job.settings.augment, len(job.task.train), seed, device), 0
    for part in images:
        yield augment(part, seen)
        seen += len(part)


@contextmanager
def _located(epoch: int, batch: int) -> Iterator[None]:
    """Add the place to whatever goes wrong in a batch, such as a device without memory."""
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
    model: nn.Module, loader: Loader, rows: Rows, batch_size: int, score: Callable[[Tensor], Tensor] | None = None
) -> NDArray[np.float64]:
    """Return the probabilities [n, classes] of these rows, the model in evaluation mode.

    score: images -> logits, where not the model itself.
    """
    model.eval()
    with torch.inference_mode():
        logits = [(score or model)(images).float() for images in loader(parts_of(rows, batch_size))]
    return torch.cat(logits).cpu().double().softmax(dim=1).numpy()


def predict_further(
    model: nn.Module,
    loader: Loader,
    task: Task,
    batch_size: int,
    score: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Probabilities]:
    """Return the probabilities [n, classes] of each further test set, by a model after its last epoch.

    Raises FloatingPointError where they are not finite.
    """
    found = {name: predict(model, loader, rows, batch_size, score) for name, rows in task.further.items()}
    for name, probabilities in found.items():
        if not np.isfinite(probabilities).all():
            raise FloatingPointError(f"the predictions of the test set {name} are not finite")
    return found


def training_metrics(losses: Tensor, hits: int, images: int, epoch: int) -> Metrics:
    """The means over the epoch as the model trained. losses: of each batch, summed over its images.

    Raises FloatingPointError where one is not finite.
    """
    if not losses.isfinite().all():
        batch = int((~losses.isfinite()).nonzero()[0]) + 1
        raise FloatingPointError(f"the loss is {losses[batch - 1].item()} in epoch {epoch}, batch {batch}")
    return {"train/loss": float(losses.double().sum()) / images, "train/accuracy": hits / images}
