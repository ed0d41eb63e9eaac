"""Cells of a finished study that are run again, and cells that fail."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.faults import failures
from tests.faults.rig import FITS, RUN, Rig

CELL = ("rerun", "study.yaml", "--scenario", "dropout-gap + none", "--fold", "1", "--device", "cpu")


@pytest.fixture
def finished(rig: Rig) -> Path:
    """A copy of the finished study."""
    return rig.copy()


@pytest.mark.long
def test_a_cell_that_is_run_again_is_one_truth_in_the_ledger_and_in_mlflow(rig: Rig, finished: Path) -> None:
    ended = rig.run(finished, *CELL)
    assert ended.code == 0, ended
    assert f"{FITS} fits" not in ended.err
    assert "identical; stored on cpu" in ended.out
    rig.check(finished)
    assert len(list((finished / "mlruns/set-aside").iterdir())) == 1
    with sqlite3.connect(finished / "mlruns/mlflow.db") as database:
        query = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'"
        assert database.execute(query).fetchone() == (3,)  # the scenario's run and its two folds


@pytest.mark.long
def test_a_rerun_that_is_killed_is_finished_by_the_next_run(rig: Rig, finished: Path) -> None:
    assert rig.run(finished, *CELL, failpoint="tracking.metrics:2").code == -9
    rig.finish(finished, *RUN)
    rig.check(finished)


@pytest.mark.parametrize(
    "fault",
    [failures.exception, pytest.param(failures.not_a_number, marks=pytest.mark.long)],
    ids=lambda fault: fault.__name__,
)
def test_one_failing_scenario_does_not_end_the_grid_and_only_it_is_tried_again(rig: Rig, fault: failures.Fault) -> None:
    assert failures.fail(rig, fault) == 1


def test_the_status_is_told_as_json(rig: Rig, finished: Path) -> None:
    shutil.rmtree(next((finished / "mlruns/jobs").iterdir()))
    told = json.loads(rig.run(finished, "status", "study.yaml", "--json").out)
    assert sorted({job["status"] for job in told["jobs"]}) == ["done", "missing"]
