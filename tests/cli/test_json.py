"""What scripts read: the commands' `--json`, and the cost that `plan --probe` adds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import make_app
from harness.study import Study
from harness.study.state import StudyState, final_test
from tests.conftest import SMALL_STUDY, Finished


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL_STUDY)
    return file


def told(*arguments: str | Path) -> Any:
    """What a command prints, as JSON."""
    done = CliRunner().invoke(make_app(), [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_plan_names_every_scenario_job_and_winner(study: Path, finished: Finished) -> None:
    plan = told("plan", study, "--store", finished.store.root, "--json")
    assert (plan["study"], plan["synthetic"], plan["cost"]) == ("small", True, None)
    assert plan["marks"] == ["SYNTHETIC DATA"]
    assert sum(row["images"] for row in plan["data"]) == 72
    for stage, state in zip(plan["stages"], finished.run.state.stages, strict=True):
        assert state.best is not None
        assert (stage["name"], stage["winner"]) == (state.stage.name, state.best.id)
        assert [s["id"] for s in stage["scenarios"]] == [s.id for s in state.scenarios]
        assert all(job["done"] for s in stage["scenarios"] for job in s["jobs"])


def test_a_probe_adds_a_cost_that_the_next_plan_has_too(study: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    assert told("plan", study, *store, "--json")["cost"] is None
    probed = told("plan", study, *store, "--json", "--probe", "--device", "cpu")["cost"]
    assert probed["seconds"] > 0
    assert probed["networks"][0]["fits"] == 4
    assert told("plan", study, *store, "--json")["cost"] == probed
    shown = CliRunner().invoke(make_app(), ["plan", str(study), *map(str, store)], catch_exceptions=False).stdout
    assert "EXTRAPOLATED from a probe" in shown
    assert "one fit at a time" in shown


@pytest.mark.parametrize("command", ["plan", "status", "audit", "report"])
def test_what_scripts_read_carries_the_marks(study: Path, finished: Finished, command: str) -> None:
    found = told(command, study, "--store", finished.store.root, "--json")
    assert found["marks"] == ["SYNTHETIC DATA"]
    if command in ("plan", "audit"):  # the others show what was run: the study without --set
        found = told(
            command, study, "--store", finished.store.root, "--json", "--set", "folds.k=2", "--set", "base.epochs=1"
        )
        assert found["marks"] == ["SYNTHETIC DATA", "REHEARSAL: base.epochs 1 of 2"]


def test_a_report_has_its_page_and_every_number(study: Path, finished: Finished) -> None:
    report = told("report", study, "--store", finished.store.root, "--json")
    assert Path(report["page"]).is_file()
    best = finished.run.state.stages[0].best
    assert best is not None
    assert best.name in {estimate["subject"] for estimate in report["estimates"]}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["test.model=folds"], "the mean of the fold models"),
        (["stages=[{name: sampling, grid: {head: [dropout-gap]}}]", "test.scenarios=all"], "selects a winner"),
    ],
)
def test_a_study_without_a_model_says_why(
    small_study: Callable[..., Study], finished: Finished, overrides: list[str], words: str
) -> None:
    study, run = small_study(*overrides), finished.run
    stages = run.state.stages if "model" in overrides[0] else ()
    reason = final_test(study, StudyState(stages, run.state.tests))
    assert isinstance(reason, str) and words in reason
    assert final_test(study, StudyState(stages)) is None, "nothing is scored yet"


def test_a_network_that_is_chosen_is_the_champion(finished: Finished) -> None:
    assert final_test(finished.study, finished.run.state) == finished.run.state.tests[-1]
