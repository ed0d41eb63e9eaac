"""A publisher that survives a lost tracking server: training goes on, and MLflow is brought up to date afterwards."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Generic, Self, TypeVar

from harness.data.inputs import Workspace
from harness.errors import HarnessError, JobError, TrackingError
from harness.store.results import FoldRecord, Metrics
from harness.study.plan import Job
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState
from harness.tracking.connection import is_lost, server_words
from harness.tracking.publisher import Publisher
from harness.tracking.root_run import RootRun

RECONNECT_SECONDS = 5.0  # between two attempts to reach a lost server
SETTLE_SECONDS = 120.0  # that the end of a run waits for it
LOST = "the tracking server is lost; every fit is stored, and the same command adds them to it"

P = TypeVar("P", bound=RootRun)
R = TypeVar("R")


class Relay(ABC, Generic[P]):
    """Passes events on to a publisher. A publisher that has lost its server is replaced by a new one.

    The ledger is the truth, so a new publisher brings MLflow up to date as the start of a run does: it discards the
    runs of unfinished jobs, and creates those of finished jobs that have none. No call is ever repeated, so nothing is
    logged twice.
    """

    def __init__(self, make: Callable[[], P], say: Callable[[str], None]) -> None:
        self._make, self._say = make, say
        self._live: P | None = None
        self._try_at = 0.0

    @abstractmethod
    def _bring_up_to_date(self, publisher: P) -> None:
        """Replay for a new publisher what happened before it was created."""

    def job_started(self, job: Job) -> None:
        self._pass(lambda publisher: publisher.job_started(job))

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        self._pass(lambda publisher: publisher.epoch(job_id, epoch, metrics))

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        self._pass(lambda publisher: publisher.job_ended(job, outcome))

    def __enter__(self) -> Self:
        try:
            self._live = self._make().__enter__()
        except Exception as error:
            if not is_lost(error):
                raise
            raise HarnessError(f"--tracking-uri: no MLflow server answers: {server_words(error)}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass(lambda publisher: publisher.__exit__(kind, error, trace))
        if isinstance(error, Exception) and is_lost(error):
            raise TrackingError(LOST) from None

    def settled(self) -> P:
        """Wait for a lost server, and return the publisher with MLflow up to date.

        Raises TrackingError if that takes longer than SETTLE_SECONDS.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._live is None and not self._reconnect():
            if time.monotonic() > deadline:
                raise TrackingError(LOST)
            time.sleep(0.5)
        assert self._live is not None
        return self._live

    def _pass(self, call: Callable[[P], R]) -> R | None:
        """Call the publisher, and return its answer; None while its server is lost."""
        if self._live is None and not self._reconnect():
            return None
        assert self._live is not None
        try:
            return call(self._live)
        except Exception as error:
            if not is_lost(error):
                raise
            self._live = None
            self._say(f"the tracking server is lost ({server_words(error)}); training goes on")
            return None

    def _reconnect(self) -> bool:
        """Try to reach the server and bring it up to date; return whether that worked."""
        if time.monotonic() < self._try_at:
            return False
        try:
            publisher = self._make().__enter__()
            self._bring_up_to_date(publisher)
        except Exception as error:
            if not is_lost(error):
                raise
            self._try_at = time.monotonic() + RECONNECT_SECONDS
            return False
        self._live = publisher
        self._say("the tracking server is back, and up to date")
        return True


class StudyRelay(Relay[Publisher]):
    """The relay of a study's run."""

    def __init__(self, workspace: Workspace, say: Callable[[str], None]) -> None:
        super().__init__(lambda: Publisher(workspace), say)
        self._reader = workspace.reader
        self._journal: list[Callable[[Publisher], None]] = []

    def enter_stage(self, state: StageState) -> None:
        self._journaled(lambda publisher: publisher.enter_stage(self._now(state)))

    def leave_stage(self, state: StageState) -> None:
        self._journaled(lambda publisher: publisher.leave_stage(state))

    def publish_test(self, state: ScenarioState, stages: list[str]) -> None:
        self._journaled(lambda publisher: publisher.publish_test(state, stages))

    def _journaled(self, call: Callable[[Publisher], None]) -> None:
        self._journal.append(call)
        if self._live is None:
            self._reconnect()  # which replays the whole journal
        else:
            self._pass(call)

    def _bring_up_to_date(self, publisher: Publisher) -> None:
        for call in self._journal:
            call(publisher)

    def _now(self, state: StageState) -> StageState:
        """The state with the records that are in the ledger now."""
        scenarios = tuple(self._reader.scenario(s.scenario, s.jobs) for s in state.scenarios)
        return replace(state, scenarios=scenarios)
