"""What a fit learns from, and how it is asked to learn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.dataset import Rows, set_split
from harness.data.inner_split import inner_split
from harness.data.leaks import oversampled_before_split
from harness.data.resampling import Resampled, resample
from harness.data.train_share import share_of, share_seed
from harness.store.results import Metrics
from harness.study.allowed import BY_VECTORS
from harness.study.identity import derive_seed
from harness.study.plan import Job
from harness.study.settings import SCORING, Settings
from harness.training.context import Context
from harness.training.features import CachedFeatures
from harness.training.own_sampler import resampled

EVALUATED = ""  # the set of images that a fit is evaluated on, beside the names of further test sets


@dataclass(frozen=True)
class Task:
    """The labels on the device, and the rows to train and to score on.

    Rows are those of the manifest; synthetic images, which nothing else is done with, follow behind its last one.
    """

    labels: Tensor  # [images of the manifest and synthetic ones]
    train: Rows  # after resampling
    evaluate: Rows
    positive: int | None  # class; None with three classes or more
    every_epoch: bool  # False on the test set, which is scored once
    further: Mapping[str, Rows] = field(default_factory=dict)  # of the test sets beside the leading one, by name
    inner: Rows = field(default_factory=lambda: np.empty(0, np.int64))  # held out of `train`; by them a fit stops
    synthetic: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))  # vectors [m, C]

    @property
    def sets(self) -> dict[str, Rows]:
        """The rows of each set of images that is scored, by name; EVALUATED first."""
        return {EVALUATED: self.evaluate, **self.further}

    @property
    def images(self) -> int:
        """The number of images of the manifest; the rows from there on are synthetic."""
        return len(self.labels) - len(self.synthetic)

    @property
    def real(self) -> Rows:
        """The training rows that are images."""
        return self.train[self.train < self.images]

    @property
    def synthetic_labels(self) -> Rows:
        """The classes [m] of the synthetic images."""
        return self.labels[self.images :].cpu().numpy()


@dataclass(frozen=True)
class FitJob:
    """One fit. on_epoch: callback that gets the number of an epoch, from 1, and its metrics."""

    task: Task
    settings: Settings
    seed: int
    on_epoch: Callable[[int, Metrics], None]
    sources: Mapping[str, str] = field(default_factory=dict)  # of the user's own parts, by name

    @property
    def scoring(self) -> str:
        """How its network is asked, such as `flip, 5`; jobs of one network differ in it."""
        return ", ".join(str(getattr(self.settings, name)) for name in SCORING)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.task.labels.max()) + 1


def task_of(job: Job, context: Context, cached: CachedFeatures | None) -> Task:
    """The task of a job of the study. cached: the features of a frozen backbone, which some samplers read."""
    dataset = context.dataset
    inner = inner_rows(job, context)
    found, evaluate = _rows(job, context, inner, cached)
    positive = dataset.classes.index(dataset.positive) if dataset.positive else None
    further = {name: dataset.rows(set_split(name)) for name in dataset.further_sets if job.evaluate == "test"}
    images = len(dataset.labels)
    labels = torch.from_numpy(np.concatenate([dataset.labels, found.labels])).to(torch.device(context.device))
    train = np.concatenate([found.rows, np.arange(images, len(labels), dtype=found.rows.dtype)])
    return Task(labels, train, evaluate, positive, job.evaluate == "val", further, inner, found.vectors)


def fold_rows(job: Job, context: Context) -> Rows:
    """All training rows of the fold of a job."""
    return context.dataset.rows("train") if job.fold is None else context.folds[job.repeat, job.fold].train


def training_rows(job: Job, context: Context) -> Rows:
    """The training rows of a job before oversampling: those of its fold, or the share of them that it asks for."""
    share, seed = job.scenario.settings.train_share, share_seed(context.seed, job)
    return share_of(context.dataset, fold_rows(job, context), share, seed)


def inner_rows(job: Job, context: Context) -> Rows:
    """The training rows that a fit holds out of its training, to see when it stops; none where it does not."""
    settings = job.scenario.settings
    if not settings.stop_patience:
        return np.empty(0, np.int64)
    seed = derive_seed(job.seed, "stop")
    split = inner_split(context.dataset, training_rows(job, context), seed, settings.stop_inner)
    return split.rows[split.held_out]


def _rows(job: Job, context: Context, inner: Rows, cached: CachedFeatures | None) -> tuple[Resampled, Rows]:
    """What is trained on, after resampling, and the rows that are scored. inner: those held out."""
    dataset, settings = context.dataset, job.scenario.settings
    if job.fold is not None and settings.leaks:
        k = sum(repeat == job.repeat for repeat, _ in context.folds)
        leak_seed = derive_seed(context.seed, "leak", job.repeat)
        fold = context.folds[job.repeat, job.fold]
        leaking = oversampled_before_split(dataset, fold, k, leak_seed, settings.oversampling_ratio)
        return without_synthetic(leaking.train), leaking.validation
    rows = training_rows(job, context)
    sampled = resampled_rows(job, context, rows[~np.isin(rows, inner)], cached)
    if job.evaluate == "test":
        return sampled, dataset.rows("test")
    assert job.fold is not None
    return sampled, context.folds[job.repeat, job.fold].validation


def resampled_rows(job: Job, context: Context, rows: Rows, cached: CachedFeatures | None) -> Resampled:
    """These training rows of a job after its resampling. cached: see `task_of`."""
    settings, labels = job.scenario.settings, context.dataset.labels[rows]
    seed = derive_seed(job.seed, "oversampling")
    if source := context.heads.get(settings.oversampling):
        return without_synthetic(resampled(rows, labels, settings.oversampling, source, seed))
    by_vectors = settings.synthesises or settings.undersampling in BY_VECTORS
    vectors = cached.vectors if cached is not None and by_vectors else None
    return resample(rows, labels, settings, seed, vectors)


def without_synthetic(rows: Rows) -> Resampled:
    """These training rows alone."""
    return Resampled(rows, np.empty((0, 0), np.float32), np.empty(0, np.int64))


def resampling_counts(job: Job, context: Context, task: Task) -> tuple[dict[str, int], dict[str, int]]:
    """The training images by class before resampling, and after it, synthetic ones included."""
    dataset = context.dataset
    made = np.bincount(task.synthetic_labels, minlength=len(dataset.classes)).tolist()
    after = {name: count + made[index] for index, (name, count) in enumerate(dataset.counts(task.real).items())}
    return dataset.counts(training_rows(job, context)), after
