"""A publisher whose tracking server may be lost: training goes on, and what MLflow missed is told to it afterwards."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Generic, Self, TypeVar

from harness.errors import HarnessError, JobError, TrackingError
from harness.prepare import Workspace
from harness.store.results import FoldRecord, Metrics
from harness.study.plan import Job
from harness.study.state import ScenarioState, StageState
from harness.tracking.connection import is_lost, server_words
from harness.tracking.publisher import Publisher
from harness.tracking.root_run import RootRun

PAUSE = 5.0  # seconds between two attempts to reach a server that was lost
PATIENCE = 120.0  # seconds that the end of a run waits for it
LOST = "the tracking server is lost; every fit is stored, and the same command adds them to it"

P = TypeVar("P", bound=RootRun)
R = TypeVar("R")


class Relay(ABC, Generic[P]):
    """Passes on to a publisher what happens. One that has lost its server is replaced by a new one.

    The ledger is the truth, so a new publisher brings MLflow up to date as the start of a run does: what it finds of
    unfinished jobs is discarded, and finished ones that lack a run get it whole. No call is ever repeated, so nothing
    stands there twice.
    """

    def __init__(self, make: Callable[[], P], say: Callable[[str], None]) -> None:
        self._make, self._say = make, say
        self._live: P | None = None
        self._try_at = 0.0

    @abstractmethod
    def _bring_up_to_date(self, publisher: P) -> None:
        """Tells a new publisher what happened before it was made."""

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
        """The publisher, its server up to date, for the end of a run; waits for a server that was lost.

        Raises TrackingError where that takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while self._live is None and not self._reconnect():
            if time.monotonic() > deadline:
                raise TrackingError(LOST)
            time.sleep(0.5)
        assert self._live is not None
        return self._live

    def _pass(self, call: Callable[[P], R]) -> R | None:
        """What the publisher answers; None where its server is lost."""
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
        """Whether the server is back, and has been told all."""
        if time.monotonic() < self._try_at:
            return False
        try:
            publisher = self._make().__enter__()
            self._bring_up_to_date(publisher)
        except Exception as error:
            if not is_lost(error):
                raise
            self._try_at = time.monotonic() + PAUSE
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
        self._keep(lambda publisher: publisher.enter_stage(self._now(state)))

    def leave_stage(self, state: StageState) -> None:
        self._keep(lambda publisher: publisher.leave_stage(state))

    def publish_test(self, state: ScenarioState, stages: list[str]) -> None:
        self._keep(lambda publisher: publisher.publish_test(state, stages))

    def _keep(self, call: Callable[[Publisher], None]) -> None:
        self._journal.append(call)
        if self._live is None:
            self._reconnect()  # which tells the whole journal
        else:
            self._pass(call)

    def _bring_up_to_date(self, publisher: Publisher) -> None:
        for call in self._journal:
            call(publisher)

    def _now(self, state: StageState) -> StageState:
        """The state as the ledger has it by now."""
        scenarios = tuple(self._reader.scenario(s.scenario, s.jobs) for s in state.scenarios)
        return replace(state, scenarios=scenarios)
