"""A share of what `make chaos` does."""

import signal

import pytest

from tests.faults import kills
from tests.faults.rig import Rig

CHAINS = [
    ("file.written:1", "tracking.created:1", "tracking.created:2", "tracking.metrics:1", "ledger.written:3"),
    ("tracking.artifact:1", "ledger.saved:2", "tracking.metrics:9", "tracking.terminated:3", "tracking.complete:4"),
    ("pixels.written:1", "file.replaced:2", "tracking.metrics:14", "tracking.discarded:1", "report.written:1"),
]


@pytest.mark.parametrize(
    "places",
    [CHAINS[0], *(pytest.param(chain, marks=pytest.mark.long) for chain in CHAINS[1:])],
    ids=lambda places: places[0],
)
def test_a_study_that_is_killed_again_and_again_ends_as_one_that_was_not(rig: Rig, places: tuple[str, ...]) -> None:
    assert kills.kill_at(rig, *places) == len(places)


@pytest.mark.long
@pytest.mark.parametrize("place", ["tracking.making:1", "tracking.made:1"])
def test_a_database_that_was_not_whole_is_made_anew(rig: Rig, place: str) -> None:
    assert kills.kill_fresh(rig, place) == 1


def test_a_kill_between_two_reports_leaves_one(rig: Rig) -> None:
    assert kills.kill_report(rig) == 1


@pytest.mark.long
@pytest.mark.parametrize("place", ["checkpoint.save:2", "checkpoint.saved:3"])
def test_a_kill_around_a_checkpoint_changes_no_number(rig: Rig, place: str) -> None:
    assert kills.kill_checkpoint(rig, place) == 1


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_which_goes_on_later(rig: Rig, number: signal.Signals) -> None:
    kills.stop(rig, number, 1, 0.05)


@pytest.mark.long
@pytest.mark.parametrize("at_once", [True, False])
def test_a_second_runner_is_refused_and_a_killed_one_holds_nothing(rig: Rig, at_once: bool) -> None:
    assert kills.second_runner(rig, at_once) == 1


@pytest.mark.long
def test_many_may_be_the_first_to_use_a_store(rig: Rig) -> None:
    assert kills.first_users(rig, 4) == 4


def test_every_place_of_a_run_is_passed(rig: Rig) -> None:
    assert len(set(kills.failpoints(rig))) >= 25
    assert {"ledger.written", "tracking.created", "report.written", "file.written"} <= rig.passes.keys()
