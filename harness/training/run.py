"""The jobs that a worker fits together: those of one training, and heads of one type on one frozen backbone."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import torch

from harness.errors import described
from harness.models.names import STACKED_HEADS
from harness.store.results import FoldResult, OnEpoch
from harness.study.allowed import OPTIMIZERS
from harness.study.identity import derive_seed
from harness.study.plan import Job
from harness.study.settings import OWN_PARTS, Settings
from harness.training.context import Context
from harness.training.device import free_memory, is_out_of_memory, make_deterministic, resolve_precision
from harness.training.features import cached_features
from harness.training.fit_stack import fit_stack
from harness.training.job import run_job, run_training
from harness.training.loaders import ResidentFeatures
from harness.training.network import new_head
from harness.training.result import Trained, result_of
from harness.training.task import FitJob, task_of
from harness.training.usage import Meter
from harness.training.ways import Way

MAX_STACK = 128  # jobs
MAY_DIFFER_IN_A_STACK = {
    "oversampling", "oversampling_ratio", "undersampling", "learning_rate", "schedule", "warmup", "weight_decay",
    "select_epoch", "snapshots",
}  # fmt: skip

Fits = list[FoldResult | Exception]


def stacks(jobs: Iterable[Job], context: Context) -> list[tuple[Job, ...]]:
    """The jobs in groups that are fitted together, in their order; without stacking those that share a training.

    A test job is in no stack: its model must give the same bits wherever it predicts.
    """
    groups: dict[Hashable, list[Job]] = {}
    for job in jobs:
        settings = job.scenario.settings
        stacked = context.stack and _is_stackable(settings, context) and job.evaluate == "val"
        groups.setdefault(
            settings.model_copy(update=dict.fromkeys(MAY_DIFFER_IN_A_STACK)) if stacked else job.training, []
        ).append(job)
    return [tuple(group[at : at + MAX_STACK]) for group in groups.values() for at in range(0, len(group), MAX_STACK)]


def _is_stackable(settings: Settings, context: Context) -> bool:
    """Whether the step of a stack can do what these settings ask for."""
    own = any(getattr(settings, part) in context.heads for part in OWN_PARTS)
    plain = settings.optimizer in OPTIMIZERS and not settings.clip and not settings.ema
    plain &= not settings.stop_patience
    plain &= not settings.synthesises and settings.prior_correction == "off"
    return settings.trainable == "head" and settings.head in STACKED_HEADS and plain and not own


def run_jobs(jobs: Sequence[Job], context: Context, on_epoch: OnEpoch) -> Fits:
    """Fit the jobs of a group, and return the result of each, or the error of that job only, such as a non-finite loss.

    Raises whatever else goes wrong in a single training. Where the memory of the device is too small for all of a
    stack, two halves follow; after any other error each job alone.
    """
    if len({job.training for job in jobs}) == 1:
        return _run_training(jobs, context, on_epoch)
    try:
        return _run_stack(jobs, context, on_epoch)
    except Exception as error:  # whatever it is: no stack is worth the fits of all its jobs
        reason = None if is_out_of_memory(error) else f"not stacked: {described(error)}"
    if reason is not None:
        return [_run_alone(job, context, on_epoch, reason) for job in jobs]
    free_memory()
    half = len(jobs) // 2
    return run_jobs(jobs[:half], context, on_epoch) + run_jobs(jobs[half:], context, on_epoch)


def _run_training(jobs: Sequence[Job], context: Context, on_epoch: OnEpoch) -> Fits:
    """The results of jobs of one training; of each alone where a number is not finite, maybe by one's views alone."""
    try:
        return [*run_training(jobs, context, on_epoch)]
    except FloatingPointError as error:
        if len(jobs) == 1:
            return [error]
    return [end for job in jobs for end in _run_training([job], context, on_epoch)]


def _run_alone(job: Job, context: Context, on_epoch: OnEpoch, reason: str) -> FoldResult | Exception:
    """The result of a job that was not stacked for this reason, or the error with which it ends alone too."""
    try:
        result = run_job(job, context, on_epoch)
    except Exception as error:
        return error
    facts = result.record.facts
    facts = replace(facts, fallbacks=(*facts.fallbacks, reason))
    return replace(result, record=replace(result.record, facts=facts))


def _run_stack(jobs: Sequence[Job], context: Context, on_epoch: OnEpoch) -> Fits:
    """Fit heads of one type in one loop; what they used is an equal share."""
    make_deterministic(context.threads)
    device = torch.device(context.device)
    cached = cached_features(jobs[0], context)
    meter = Meter(device)
    shape = cached.files[0].shape
    fit_jobs = [
        FitJob(task_of(job, context, cached), job.scenario.settings, job.seed, partial(on_epoch, job.id))
        for job in jobs
    ]
    heads = [new_head(job.scenario.settings, shape, context, derive_seed(job.seed, "head")) for job in jobs]
    ended = fit_stack(heads, fit_jobs, ResidentFeatures(cached.files[0], device), shape)
    usage = meter.read().share(len(jobs))
    precision = resolve_precision(jobs[0].scenario.settings.precision, device)
    stack = tuple(job.id for job in jobs)
    results: Fits = []
    for job, fit_job, head, fitted in zip(jobs, fit_jobs, heads, ended, strict=True):
        if isinstance(fitted, FloatingPointError):
            results.append(fitted)
            continue
        trained = Trained(head, fitted, precision, Way(False, False), stack=stack, usage=usage)
        results.append(result_of(job, context, fit_job.task, trained, cached))
        cached = replace(cached, passes=0)  # counted once
    return results
