"""Where jobs are fitted. An executor takes batches and gives back one outcome for each job."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from harness.plan import Batch, Job
from harness.results import OnEpoch, Outcome
from harness.training.job import Context

OnStart = Callable[[Job], None]  # called when a job begins


class Executor(Protocol):
    """Fits jobs. It writes no results: that is for the one who asked, who alone holds the ledger and MLflow."""

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        """The outcome of every job, as it comes; a failed job is a JobError, and the others go on."""
        ...
