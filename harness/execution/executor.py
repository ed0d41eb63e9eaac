"""The protocol of executors, which fit jobs: an executor takes batches and yields one outcome per job."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from harness.errors import JobError
from harness.store.results import FoldRecord, Metrics, OnEpoch, Outcome
from harness.study.plan import Batch, Job
from harness.training.context import Context

OnStart = Callable[[Job], None]  # called once for each job, when it starts


class JobEvents(Protocol):
    """Follows jobs from start to end. Everything that reports, publishes or counts jobs implements this protocol."""

    def job_started(self, job: Job) -> None:
        """A job starts to train."""
        ...

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        """An epoch of a job is done, counted from 1."""
        ...

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        """A job has its record in the ledger, or failed."""
        ...


class Executor(Protocol):
    """Fits jobs. It does not write results: only its caller writes to the ledger and MLflow."""

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        """The outcome of every job, as it comes; a failed job is a JobError, and the others go on."""
        ...

    def close(self) -> None:
        """End the executor's workers, whatever they are running."""
        ...


def each_epoch_once(on_epoch: OnEpoch) -> OnEpoch:
    """A callback that calls `on_epoch` once for each epoch of a job, even if a worker died and its job starts again."""
    reported: dict[str, int] = {}

    def report(job_id: str, epoch: int, metrics: Metrics) -> None:
        if epoch > reported.get(job_id, 0):
            reported[job_id] = epoch
            on_epoch(job_id, epoch, metrics)

    return report
