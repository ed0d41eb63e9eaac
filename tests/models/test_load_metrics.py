"""Metrics of the user's own: in every number of a study, in no id of a fit, and refused before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import HarnessError, StudyError
from harness.models.load_metrics import own_scores, try_metrics
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from tests.conftest import run_in, runs_of, small_study_beside

METRICS = """\
import numpy as np


def kappa(labels, probabilities):
    predicted = probabilities.argmax(axis=1)
    agreed = (predicted == labels).mean()
    shares = [np.bincount(each, minlength=probabilities.shape[1]) / len(labels) for each in (labels, predicted)]
    chance = shares[0] @ shares[1]
    return (agreed - chance) / (1 - chance) if chance < 1 else 0.0


class Cost:
    greater_is_better = False

    def __call__(self, labels, probabilities):
        return (probabilities.argmax(axis=1) != labels).mean() * 10
"""
BOTH = "metrics=['my_metrics:kappa', 'my_metrics:Cost']"
StudyWith = Callable[..., Study]


@pytest.fixture
def study_with(tmp_path: Path) -> StudyWith:
    """Gives a small study of a frozen backbone next to my_metrics.py, with `KEY=VALUE` overrides."""
    overrides = ("base.trainable=head", "base.epochs=2")
    return lambda source, *more: small_study_beside(tmp_path / "my_metrics.py", source, *overrides, *more)


def stage(metric: str) -> str:
    return f"stages=[{{name: a, grid: {{head: [dropout-gap, batchnorm-gap]}}, select: {{metric: {metric}}}}}]"


@pytest.mark.slow
def test_own_metrics_stand_in_every_table_select_and_fit_nothing_again(study_with: StudyWith, store: Store) -> None:
    test = "test={stages: [a]}"
    plain = run_in(study_with(METRICS, stage("val/accuracy"), test), store).run
    own = study_with(METRICS, stage("val/Cost"), test, BOTH)
    assert prepare(own, store).reader.read().stages[0].finished, "they are computed from stored predictions"
    found = run_in(own, store).run
    assert found.failed == 0
    (state,) = found.state.stages
    for scenario in state.scenarios:
        means = scenario.summary
        assert means["val/Cost_mean"] == pytest.approx(10 - 10 * means["val/accuracy_mean"])
        assert all(-1 <= record.metrics["val/kappa"] <= 1 for record in scenario.records.values())
    assert state.best is not None and not state.stage.select.maximize  # type: ignore[union-attr]
    assert state.best.summary["val/Cost_mean"] == min(s.summary["val/Cost_mean"] for s in state.scenarios)
    assert {job.id for s in state.scenarios for job in s.jobs} == {
        job.id for s in plain.state.stages[0].scenarios for job in s.jobs
    }
    every = [json.loads(file.read_text()) for file in store.reports.rglob("statistics.json")]
    named = [e for each in every for e in each["estimates"] if e["metric"] == "Cost"]
    corrected = {"folds, best of 2 in stage a", "resamples, first of 2 in stage a"}  # it is what the stage selects by
    assert {e["on"] for e in named} == {"folds", "out of fold", "test set", *corrected}
    pooled = [e for e in named if e["on"] != "folds"]
    bounded = [e for e in pooled if e["bootstrap_low"] is not None]
    assert bounded and all(e["bootstrap_low"] <= e["value"] <= e["bootstrap_high"] for e in bounded)
    boards = [pd.read_csv(file) for file in store.reports.rglob("leaderboard*.csv")]
    assert any({"val/kappa", "val/Cost", "val/Cost SD"} <= {*board.columns} for board in boards)
    assert any("val/Cost_mean" in run.data.metrics for run in runs_of(store, "scenario"))
    assert any("val/Cost" in run.data.metrics for run in runs_of(store, "fold"))
    assert any("test/kappa" in run.data.metrics for run in runs_of(store, "test"))
    assert not list(store.reports.rglob("curves-*.txt")), "the traceback of a figure"
    changed = prepare(study_with(METRICS + "# changed\n", stage("val/Cost"), test, BOTH), store)
    assert changed.identity != prepare(study_with(METRICS, stage("val/Cost"), test, BOTH), store).identity
    assert changed.reader.read().stages[0].finished


def test_a_study_without_own_metrics_has_the_content_of_before(study_with: StudyWith) -> None:
    assert "metrics" not in study_with(METRICS).model_dump()
    assert study_with(METRICS, BOTH).model_dump()["metrics"] == ["my_metrics:kappa", "my_metrics:Cost"]


def test_the_line_on_an_unknown_metric_lists_those_of_the_study(study_with: StudyWith) -> None:
    with pytest.raises(
        StudyError, match=r"select.metric: val/Kost is given; allowed: val/loss, .*, val/kappa, val/Cost$"
    ):
        study_with(METRICS, stage("val/Kost"), BOTH)
    with pytest.raises(StudyError, match=r"worst-group val/ece$"):
        study_with(METRICS, stage("val/Kost"))


REFUSED = [
    ("kappa", "def kappa(labels, probabilities)", "def kappa(labels)", "TypeError"),
    ("kappa", "return (agreed", "return labels, (agreed", "TypeError"),
    ("kappa", "return (agreed", "return float('nan') + (agreed", "not finite"),
    ("kappa", "chance = ", "raise ValueError('no')\n    chance = ", "ValueError: no"),
    ("Cost", "self, labels, probabilities", "self, labels", "TypeError"),
    ("Cost", "probabilities.argmax(axis=1) != labels).mean() * 10", "np.random.random(3)).mean()", "another value"),
    ("Cost", "def __call__(", "def __init__(", "cannot be made"),
    ("Cost", "greater_is_better = False", "greater_is_better = 'no'", "allowed: True, False"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), REFUSED)
def test_what_is_no_metric_is_refused_in_one_line(
    study_with: StudyWith, name: str, old: str, new: str, message: str
) -> None:
    assert old in METRICS
    source = METRICS.replace(old, new)
    study = study_with(source, f"metrics=['my_metrics:{name}']")
    with pytest.raises(HarnessError, match=rf"metrics\[0\]: .*{message}") as error:
        try_metrics(study, own_scores(study, {f"my_metrics:{name}": source}), 2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["metrics=['my_metrics:accuracy']"], "another metric accuracy, of the harness"),
        (["metrics=['my_metrics:kappa', 'other:kappa']"], "another metric kappa, of your own"),
        (["metrics=[kappa]"], "a metric of your own is module:name"),
        ([BOTH, stage("val/kapa")], "val/kapa is given; allowed: val/loss"),
        ([stage("val/kappa")], "val/kappa is given; allowed: val/loss"),
        ([BOTH, stage("worst-group val/kappa")], "is given; allowed"),
    ],
)
def test_a_wrong_name_is_refused_with_its_place(study_with: StudyWith, overrides: list[str], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        study_with(METRICS, *overrides)


def test_a_metric_that_is_not_there_is_refused(study_with: StudyWith, store: Store) -> None:
    with pytest.raises(StudyError, match="no class or function kapa; it has: kappa, Cost"):
        prepare(study_with(METRICS, "metrics=['my_metrics:kapa']"), store)
    with pytest.raises(StudyError, match=r"metrics\[0\]: no other\.py in .* a custom metric is module:name"):
        prepare(study_with(METRICS, "metrics=['other:kappa']"), store)
    objective = "{metric: val/Cost, direction: maximize}"
    lower = f"search={{trials: 2, space: {{dropout: {{choices: [0.1, 0.2]}}}}, objective: {objective}}}"
    with pytest.raises(HarnessError, match="val/Cost is better the lower; write minimize"):
        prepare(study_with(METRICS, BOTH, lower), store)
