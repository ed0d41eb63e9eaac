"""One job after the other, in this process: the twin of every other executor, and the one to debug with."""

import traceback
from collections.abc import Iterable, Iterator

from harness.errors import JobError
from harness.executors import OnStart
from harness.plan import Batch, Job
from harness.results import OnEpoch, Outcome
from harness.training.job import Context, run_job


class InlineExecutor:
    """See Executor."""

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        for batch in batches:
            for job in batch.jobs:
                on_start(job)
                yield job, outcome_of(job, context, on_epoch)

    def close(self) -> None:
        """Nothing: there are no workers."""


def outcome_of(job: Job, context: Context, on_epoch: OnEpoch) -> Outcome:
    """The result of a job, or the JobError that says why there is none."""
    try:
        return run_job(job, context, on_epoch)
    except Exception as error:
        return job_error(job, error)


def job_error(job: Job, error: Exception) -> JobError:
    """The JobError of an exception: its first line and its notes as the reason, the traceback as the details."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    reason = " ".join([first, *getattr(error, "__notes__", [])])
    return JobError(job.id, reason, "".join(traceback.format_exception(error)))
