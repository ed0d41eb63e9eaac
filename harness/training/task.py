"""What a fit learns from, and how it is asked to learn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.data.dataset import Rows, set_split
from harness.data.folds import oversample
from harness.data.leaks import oversampled_before_split
from harness.data.train_share import share_of, share_seed
from harness.store.results import Metrics
from harness.study.identity import derive_seed
from harness.study.plan import Job
from harness.study.settings import Settings
from harness.training.context import Context
from harness.training.own_sampler import resampled


@dataclass(frozen=True)
class Task:
    """The labels [images of the manifest] on the device, and the rows of the manifest to train and to score on."""

    labels: Tensor
    train: Rows  # after oversampling
    evaluate: Rows
    positive: int | None  # class; None with three classes or more
    every_epoch: bool  # False on the test set, which is scored once
    further: Mapping[str, Rows] = field(default_factory=dict)  # of the test sets beside the leading one, by name


@dataclass(frozen=True)
class FitJob:
    """One fit. on_epoch: callback that gets the number of an epoch, from 1, and its metrics."""

    task: Task
    settings: Settings
    seed: int
    on_epoch: Callable[[int, Metrics], None]
    sources: Mapping[str, str] = field(default_factory=dict)  # of the user's own parts, by name

    def is_scored(self, epoch: int) -> bool:
        """Whether predictions are made after this epoch."""
        return self.task.every_epoch or epoch == self.settings.epochs


def task_of(job: Job, context: Context) -> Task:
    """The task of a job of the study."""
    train, evaluate = _rows(job, context)
    dataset = context.dataset
    labels = torch.from_numpy(dataset.labels).to(torch.device(context.device))
    positive = dataset.classes.index(dataset.positive) if dataset.positive else None
    further = {name: dataset.rows(set_split(name)) for name in dataset.further_sets if job.evaluate == "test"}
    return Task(labels, train, evaluate, positive, job.evaluate == "val", further)


def fold_rows(job: Job, context: Context) -> Rows:
    """All training rows of the fold of a job."""
    return context.dataset.rows("train") if job.fold is None else context.folds[job.repeat, job.fold].train


def training_rows(job: Job, context: Context) -> Rows:
    """The training rows of a job before oversampling: those of its fold, or the share of them that it asks for."""
    share, seed = job.scenario.settings.train_share, share_seed(context.seed, job)
    return share_of(context.dataset, fold_rows(job, context), share, seed)


def _rows(job: Job, context: Context) -> tuple[Rows, Rows]:
    """The training rows after oversampling, and the rows that are scored."""
    dataset, settings = context.dataset, job.scenario.settings
    if job.fold is not None and settings.leaks:
        k = sum(repeat == job.repeat for repeat, _ in context.folds)
        leak_seed = derive_seed(context.seed, "leak", job.repeat)
        fold = context.folds[job.repeat, job.fold]
        leaking = oversampled_before_split(dataset, fold, k, leak_seed, settings.oversampling_ratio)
        return leaking.train, leaking.validation
    train = training_rows(job, context)
    seed = derive_seed(job.seed, "oversampling")
    if source := context.heads.get(settings.oversampling):
        sampled = resampled(train, dataset.labels[train], settings.oversampling, source, seed)
    else:
        sampled = oversample(train, dataset.labels[train], settings.oversampling, seed, settings.oversampling_ratio)
    if job.evaluate == "test":
        return sampled, dataset.rows("test")
    assert job.fold is not None
    return sampled, context.folds[job.repeat, job.fold].validation
