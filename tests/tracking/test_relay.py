"""The tracking server is lost in the middle of a study: requests fail, before or after they took effect."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from harness.errors import JobError, TrackingError
from harness.runner import run_study
from harness.store import Store
from harness.store.results import FoldRecord, Metrics
from harness.study import Study
from harness.study.plan import Job
from harness.tracking import relay
from tests.conftest import CHAOS, Finished, Recorder
from tests.test_runner import content

WRITES = (
    "create_run",
    "update_run",
    "log_batch",
    "log_inputs",
    "log_artifact",
    "set_tag",
    "set_terminated",
    "delete_run",
)


class Outage(Recorder):
    """Loses the server at an epoch, until so many more jobs have ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moment: int, jobs: int) -> None:
        super().__init__()
        self.down = self.failed_requests = 0
        self.said: list[str] = []
        self._moment, self._length, self._told = moment, jobs, 0
        for name in ("search_runs", "get_experiment_by_name", *WRITES):
            monkeypatch.setattr(MlflowClient, name, self._failing(getattr(MlflowClient, name), name))

    def _failing(self, request: Callable[..., Any], name: str) -> Callable[..., Any]:
        def send(*arguments: Any, **options: Any) -> Any:
            if not self.down:
                return request(*arguments, **options)
            self.failed_requests += 1
            if self.failed_requests == 1 and name in WRITES:
                request(*arguments, **options)  # it was written, only its answer is lost
            raise requests.ConnectionError("the server is gone")

        return send

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        super().epoch(job_id, epoch, metrics)
        self._told += 1
        if self._told == self._moment:
            self.down = self._length

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        super().job_ended(job, outcome)
        self.down = max(0, self.down - 1)

    def say(self, text: str) -> None:
        super().say(text)
        self.said.append(text.partition(" (")[0])


@pytest.mark.parametrize("moment", range(1, 13) if CHAOS else (pytest.param(1, marks=pytest.mark.long), 4))
def test_a_lost_server_stops_no_training_and_has_every_row_once_in_the_end(
    finished: Finished, store: Store, small_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    monkeypatch.setattr(relay, "RECONNECT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        reporter = Outage(patch, moment, jobs=2)
        with reporter:
            done = run_study(small_study(), store, "cpu", reporter)
    assert (done.failed, len(reporter.outcomes)) == (0, 7)
    assert reporter.failed_requests > 0
    told = [line for line in reporter.said if "tracking server" in line]
    assert told == ["the tracking server is lost", "the tracking server is back, and up to date"]
    assert content(store) == content(finished.store)


@pytest.mark.long
def test_after_a_run_that_never_saw_its_server_again_the_same_command_adds_what_is_missing(
    finished: Finished, store: Store, small_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "SETTLE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        reporter = Outage(patch, 4, jobs=100)
        with pytest.raises(TrackingError, match="every fit is stored, and the same command adds them"), reporter:
            run_study(small_study(), store, "cpu", reporter)
        assert len(reporter.outcomes) == 7
    again = Recorder()
    with again:
        run_study(small_study(), store, "cpu", again)
    assert again.outcomes == []
    assert content(store) == content(finished.store)
