"""Jobs that a worker fits together: heads of one kind on the kept features of one frozen backbone, or a job alone."""

import time
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import torch

from harness.models.names import HEADS
from harness.store.results import FoldResult, OnEpoch
from harness.study.identity import derive_seed
from harness.study.plan import Job
from harness.training.context import Context
from harness.training.device import make_deterministic, resolve_precision
from harness.training.fit_stack import Member, fit_stack
from harness.training.job import Trained, for_job, kept_features, new_head, result_of, run_job, shape_of, task_of
from harness.training.loaders import ResidentFeatures

MOST = 128  # jobs in a stack
OWN = {"oversampling", "oversampling_ratio", "learning_rate", "weight_decay", "select_epoch"}  # may differ in a stack

Fits = list[FoldResult | FloatingPointError]


def stacks(jobs: Iterable[Job], context: Context) -> list[tuple[Job, ...]]:
    """The jobs in groups that are fitted together, in their order; where nothing is stacked each job is alone.

    Test jobs always are: their model is to give the same bits wherever it predicts.
    """
    groups: dict[Hashable, list[Job]] = {}
    for job in jobs:
        settings = job.scenario.settings
        stacked = context.stack and settings.trainable == "head" and settings.head in HEADS and job.evaluate == "val"
        groups.setdefault(settings.model_copy(update=dict.fromkeys(OWN)) if stacked else job.id, []).append(job)
    return [tuple(group[at : at + MOST]) for group in groups.values() for at in range(0, len(group), MOST)]


def run_jobs(jobs: Sequence[Job], context: Context, on_epoch: OnEpoch) -> Fits:
    """The result of each job of a group, or why it failed: its loss was not finite, which is no matter to the others.

    Raises whatever else goes wrong. Where the memory of the device is too small for all of them they go in two halves.
    """
    try:
        if len(jobs) == 1:
            return [run_job(jobs[0], context, on_epoch)]
        return _run_stack(jobs, context, on_epoch)
    except FloatingPointError as error:
        return [error]
    except torch.OutOfMemoryError:
        if len(jobs) == 1:
            raise
    torch.cuda.empty_cache()
    half = len(jobs) // 2
    return run_jobs(jobs[:half], context, on_epoch) + run_jobs(jobs[half:], context, on_epoch)


def _run_stack(jobs: Sequence[Job], context: Context, on_epoch: OnEpoch) -> Fits:
    make_deterministic(context.threads)
    device = torch.device(context.device)
    frozen = kept_features(jobs[0], context)
    started = time.perf_counter()
    shape = shape_of(frozen.files[0])
    tasks = [task_of(job, context) for job in jobs]
    members = [
        Member(
            new_head(job.scenario.settings, shape, context, derive_seed(job.seed, "head")).to(device),
            task, job.scenario.settings, job.seed, for_job(on_epoch, job.id),
        )
        for job, (_, task) in zip(jobs, tasks, strict=True)
    ]  # fmt: skip
    ended = fit_stack(members, ResidentFeatures(frozen.files[0], device), shape)
    seconds = (time.perf_counter() - started) / len(jobs)
    precision = resolve_precision(jobs[0].scenario.settings.precision, device)
    stack = tuple(job.id for job in jobs)
    results: Fits = []
    for job, member, (before, task), fitted in zip(jobs, members, tasks, ended, strict=True):
        if isinstance(fitted, FloatingPointError):
            results.append(fitted)
            continue
        trained = Trained(member.head, fitted, precision, "off", stack=stack, seconds=seconds)
        results.append(result_of(job, context, before, task, trained, frozen))
        frozen = replace(frozen, passes=0)  # counted once
    return results
