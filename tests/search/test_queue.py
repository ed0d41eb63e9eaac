"""The queue of slots on real SQLite: each is taken once, ends once, and is found again when its worker is gone."""

import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from harness.search import queue as module
from harness.search.queue import RETRIES, Queue, slot_of
from harness.store import Store
from tests.search.conftest import StudyOf


@pytest.fixture
def queues(study_of: StudyOf, tmp_path_factory: pytest.TempPathFactory) -> list[Queue]:
    """One search, opened twice, as two processes would; shared, so that neither may take the other for dead."""
    store = Store(tmp_path_factory.mktemp("queue"))
    search = study_of().search
    assert search is not None
    return [Queue(search, "demo", store, f"sqlite:///{store.root}/shared.db") for _ in range(2)]


def test_every_slot_is_taken_once_and_no_trial_comes_of_itself(queues: list[Queue]) -> None:
    assert queues[0].fill(3, []) == queues[1].fill(3, []) == 3
    taken = [queues[n % 2].take(2) for n in range(3)]
    assert [trial.user_attrs["slot"] for trial in taken if trial] == [0, 1, 2]
    assert queues[0].take(2) is queues[1].take(2) is None
    assert len(queues[0].trials()) == 3


def test_the_first_slots_have_the_points_given(queues: list[Queue]) -> None:
    queues[0].fill(2, [{"dropout": 0.25}])
    first, second = queues[0].take(1), queues[0].take(1)
    assert first and second
    assert first.suggest_float("dropout", 0.1, 0.7) == 0.25
    assert second.suggest_float("dropout", 0.1, 0.7) != 0.25


def test_a_trial_ends_once(queues: list[Queue]) -> None:
    queues[0].fill(1, [])
    trial = queues[0].take(1)
    assert trial
    queues[0].tell(trial, TrialState.COMPLETE, [0.5])
    queues[1].tell(trial, TrialState.FAIL)
    (ended,) = queues[1].ended().values()
    assert (ended.state, ended.value) == (TrialState.COMPLETE, 0.5)
    queues[1].put_back(ended)
    assert queues[0].waiting == 0


def test_a_trial_that_is_put_back_keeps_its_slot_and_its_point_but_not_for_ever(queues: list[Queue]) -> None:
    queues[0].fill(1, [{"dropout": 0.25}])
    for turn in range(RETRIES + 1):
        trial = queues[0].take(1)
        assert trial and trial.user_attrs["slot"] == 0
        assert trial.suggest_float("dropout", 0.1, 0.7) == 0.25
        queues[1].put_back(queues[1].trial(trial.number))
        assert queues[1].waiting == (turn < RETRIES)
    assert queues[0].fill(1, []) == 1, "the next start tries again"


def test_a_worker_that_is_not_heard_of_loses_its_trial(
    queues: list[Queue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 1)
    monkeypatch.setattr(module, "GRACE", 2)
    search, url = queues[0]._search, queues[0]._url
    queue = Queue(search, "demo", Store(tmp_path), url)
    queue.fill(2, [])
    lost, kept = queue.take(2), queue.take(2)
    assert lost and kept
    with queue.beating(kept):
        time.sleep(3.5)
        queue.sweep()
    states = {trial.number: trial.state for trial in queue.trials()}
    assert states[lost.number] == TrialState.FAIL and states[kept.number] == TrialState.RUNNING
    again = queue.take(2)
    assert again and again.user_attrs["slot"] == slot_of(queue.trial(lost.number))


def test_a_slot_that_two_trials_hold_is_worked_on_once(queues: list[Queue]) -> None:
    queues[0].fill(1, [])
    queues[0].optuna_study.enqueue_trial({}, user_attrs={"slot": 0})
    first, second = queues[0].take(2), queues[1].take(2)
    assert first and second
    assert not queues[0].is_second(first)
    assert queues[1].is_second(second)
