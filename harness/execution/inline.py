"""Runs one job after the other in this process: the reference for every other executor, and the one to debug with."""

import traceback
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from harness.errors import JobError, first_line
from harness.execution.executor import OnStart, each_epoch_once
from harness.execution.schedule import Stack
from harness.store.results import OnEpoch, Outcome
from harness.study.plan import Batch, Job
from harness.training.context import Context

if TYPE_CHECKING:
    from harness.training.run import Fits


class InlineExecutor:
    """Fits jobs in this process."""

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        from harness.training.run import stacks

        report = each_epoch_once(on_epoch)
        for batch in batches:
            for stack in stacks(batch.jobs, context):
                for job in stack:
                    on_start(job)
                yield from zip(stack, outcomes_of(stack, context, report), strict=True)

    def close(self) -> None:
        """Do nothing: there are no workers."""


def outcomes_of(stack: Stack, context: Context, on_epoch: OnEpoch) -> list[Outcome]:
    """Fit the jobs of a stack; return the result of each, or a JobError."""
    from harness.training.run import run_jobs

    try:
        ended = run_jobs(stack, context, on_epoch)
    except Exception as error:
        return [job_error(job, error) for job in stack]
    return as_outcomes(stack, ended)


def as_outcomes(stack: Stack, ended: "Fits") -> list[Outcome]:
    """The outcomes, with a JobError for each fit that ended with an error of its own."""
    pairs = zip(stack, ended, strict=True)
    return [job_error(job, end) if isinstance(end, Exception) else end for job, end in pairs]


def job_error(job: Job, error: Exception) -> JobError:
    """The JobError of an exception: its first line and its notes as the reason, the traceback as the details."""
    reason = " ".join([first_line(error), *getattr(error, "__notes__", [])])
    return JobError(job.id, reason, "".join(traceback.format_exception(error)))
