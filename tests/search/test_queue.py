"""The queue of slots on real SQLite: each is taken once, ends once, and is found again when its worker is gone."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from harness.search import queue as module
from harness.search.queue import MAX_RETRIES, Queue, slot_of
from harness.store import Store
from tests.search.conftest import StudyOf


@pytest.fixture
def open_queue(study_of: StudyOf, tmp_path: Path) -> Callable[[], Queue]:
    """Opens one search, as each of its processes does; shared, so that none may take another for dead."""
    search, url = study_of().searched, f"sqlite:///{tmp_path}/shared.db"
    return lambda: Queue(search, "demo", Store(tmp_path), url)


@pytest.fixture
def queues(open_queue: Callable[[], Queue]) -> list[Queue]:
    """One search, opened twice, as two processes would."""
    return [open_queue(), open_queue()]


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
    for turn in range(MAX_RETRIES + 1):
        trial = queues[0].take(1)
        assert trial and trial.user_attrs["slot"] == 0
        assert trial.suggest_float("dropout", 0.1, 0.7) == 0.25
        queues[1].put_back(queues[1].trial(trial.number))
        assert queues[1].waiting == (turn < MAX_RETRIES)
    assert queues[0].fill(1, []) == 1, "the next start tries again"


def test_a_worker_that_is_not_heard_of_loses_its_trial(
    open_queue: Callable[[], Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(module, "GRACE_SECONDS", 2)
    queue = open_queue()
    queue.fill(2, [])
    lost, kept = queue.take(2), queue.take(2)
    assert lost and kept
    with queue.heartbeats(kept):
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
