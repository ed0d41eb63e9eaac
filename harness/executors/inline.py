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
                yield job, _outcome(job, context, on_epoch)


def _outcome(job: Job, context: Context, on_epoch: OnEpoch) -> Outcome:
    try:
        return run_job(job, context, on_epoch)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        reason = " ".join([first, *getattr(error, "__notes__", [])])
        return JobError(job.id, reason, traceback.format_exc())
