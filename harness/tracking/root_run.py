"""The MLflow run at the root of a study or a search, its files, and the runs of finished folds."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from harness.data.inputs import Workspace
from harness.data.record import write_record
from harness.errors import JobError, attempt
from harness.store.results import FoldRecord, Metrics
from harness.study.plan import Job
from harness.tracking.connection import is_lost
from harness.tracking.links import UI_PORT
from harness.tracking.tracker import Tracker


class RootRun(ABC):
    """The run of a study or of a search, and all runs below it. As a context manager it ends every run it started.

    identity: the id of the study or search. port: of the MLflow UI of this store, for links.
    """

    def __init__(self, workspace: Workspace, identity: str, port: int = UI_PORT) -> None:
        self._workspace = workspace
        self._study, self._inputs, self._store = workspace.study, workspace.inputs, workspace.store
        self._tracker = Tracker(workspace, identity, port)

    @property
    @abstractmethod
    def run_id(self) -> str:
        """The id of the root run, made at the first call."""

    @abstractmethod
    def job_started(self, job: Job) -> None:
        """Open the run of a job that starts to train."""

    @abstractmethod
    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        """Add an epoch to the curves of a job."""

    @abstractmethod
    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        """Close the run of a job."""

    @abstractmethod
    def close(self) -> None:
        """Mark the root run complete if everything below it is."""

    def _publish_fold(self, run_id: str, record: FoldRecord, streamed: bool) -> None:
        """Complete the run of a finished job; streamed: its curves are there already."""
        self._tracker.metrics.log_record(run_id, record, streamed)
        folder = self._workspace.ledger.path(record.job_id)
        self._tracker.log_files(run_id, [folder / "predictions.parquet", folder / "classes.json"])
        self._tracker.finish(run_id)

    def _attempt(self, what: str, run_id: str, upload: Callable[[], object]) -> None:
        """Upload an optional part of a run; if that fails, say why it is missing."""
        log = self._store.root / "unpublished" / f"{run_id}-{what}.txt"
        attempt(f"{what} not added to MLflow", log, upload, passing=is_lost)

    def __enter__(self) -> Self:
        try:
            self._tracker.discard_leftovers()
            run_id = self.run_id
            if not self._tracker.is_complete(run_id):
                record = write_record(self._workspace)
                self._tracker.log_files(run_id, sorted(record.folder.iterdir()))
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = "KILLED"  # also if a signal interrupts closing
        try:
            if error is None:
                self.close()
            status = "FAILED" if error is None or isinstance(error, Exception) else "KILLED"
        finally:
            self._tracker.close_all(status)
