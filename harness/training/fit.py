"""The training loop, in full view."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.dataset import Rows
from harness.store.results import Metrics
from harness.study.allowed import VIEWS
from harness.study.identity import derive_seed
from harness.training.augment import Augmentation
from harness.training.checkpoint import Checkpoints
from harness.training.device import Arithmetic
from harness.training.fit_history import Fitted
from harness.training.learner import make_learner
from harness.training.learning_rate import is_scheduled, learning_rates, rate_metrics
from harness.training.loaders import Loader, PixelLoader, on_device
from harness.training.losses import make_loss
from harness.training.mixing import Mixing
from harness.training.predict import predict_views
from harness.training.scoring import Scoring
from harness.training.step import Steps
from harness.training.task import FitJob
from harness.training.views import WHOLE


def fit(
    model: nn.Module,
    loader: Loader,
    job: FitJob,
    arithmetic: Arithmetic,
    micro_batch: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Train the model for one job, as `fit_once` does for several."""
    return fit_once(model, loader, [job], arithmetic, micro_batch, checkpoints)[0]


def fit_once(
    model: nn.Module,
    loader: Loader,
    jobs: Sequence[FitJob],
    arithmetic: Arithmetic,
    micro_batch: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> list[Fitted]:
    """Train the model for `settings.epochs`, from its last checkpoint on if there is one; return a result for each job.

    The jobs differ only in how the network is scored, which changes nothing in its training.
    micro_batch: how many images go through the network at a time, where it is less than a batch. Their gradients add up
    to the batch's, but batch norm sees only them.
    Raises FloatingPointError where the loss is not finite. What else a batch raises says where.
    """
    job, settings, micro_batch = jobs[0], jobs[0].settings, micro_batch or jobs[0].settings.batch_size
    learner = make_learner(model, job)
    checkpoints = checkpoints or Checkpoints(None, None, {})
    steps = Steps(learner, arithmetic, micro_batch, make_loss(job))
    score = partial(steps.score, planned=_scored(jobs) * (len(job.task.evaluate) // micro_batch))
    ask = partial(predict_views, model, loader, batch_size=micro_batch, score=score)
    scoring = Scoring(jobs, checkpoints.load(learner, [each.scoring for each in jobs]), ask)
    scoring.report()
    for epoch in range(scoring.next_epoch, settings.epochs + 1):
        torch.manual_seed(derive_seed(job.seed, "dropout", epoch))
        metrics = _train_epoch(steps, loader, job, epoch)
        with learner.averaged():
            if learner.stopping:
                metrics |= learner.stopping.see(epoch, model, lambda rows: ask(rows, [WHOLE])[WHOLE])
            scores = scoring.see(epoch, learner.stopping)
        scoring.add(epoch, metrics, scores)
        if learner.stopping and learner.stopping.ends(epoch):
            break
        if epoch < settings.epochs:
            checkpoints.save(learner, scoring.progress)
    learner.finish()
    if settings.lora_rank and not job.task.every_epoch:
        steps.merge()  # what predicts is what is stored
    scoring.see_last(learner.stopping.epoch if learner.stopping else settings.epochs)
    captured, fallbacks, seconds = steps.captured, tuple(steps.fallbacks), checkpoints.earlier_seconds
    return [replace(each, captured=captured, fallbacks=fallbacks, earlier_seconds=seconds) for each in scoring.fitted]


def _scored(jobs: Sequence[FitJob]) -> int:
    """How often the images of a fit are scored, at least: each view after each epoch that counts."""
    every = jobs[0].settings.epochs if jobs[0].task.every_epoch else 0
    return max(max(every, job.settings.snapshots) * VIEWS[job.settings.tta] for job in jobs)


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
        parts = zip(mixing.images(_augmented(loader, rows, job, epoch)), targets, shares, strict=True)
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


def _augmented(loader: Loader, rows: Sequence[Rows], job: FitJob, epoch: int) -> Iterator[Tensor]:
    """The images of an epoch, each part augmented. All that is random is drawn from the seed and the epoch."""
    seed, device = derive_seed(job.seed, "augment", epoch), job.task.labels.device
    scale = loader.scale if isinstance(loader, PixelLoader) else None  # features are not augmented
    augment, seen = Augmentation(job.settings.augment, len(job.task.train), seed, device, scale), 0
    for part in loader(rows):
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


def training_metrics(losses: Tensor, hits: int, images: int, epoch: int) -> Metrics:
    """The means over the epoch as the model trained. losses: of each batch, summed over its images.

    Raises FloatingPointError where one is not finite.
    """
    if not losses.isfinite().all():
        batch = int((~losses.isfinite()).nonzero()[0]) + 1
        raise FloatingPointError(f"the loss is {losses[batch - 1].item()} in epoch {epoch}, batch {batch}")
    return {"train/loss": float(losses.double().sum()) / images, "train/accuracy": hits / images}
