"""The best mean of a stage, corrected for being the best of several: in statistics, tables and words."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from harness.report.numbers.chosen import FIRST_METHOD, chosen, chosen_on
from harness.report.numbers.fold_numbers import mean_over_folds, metric_of
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import read_statistics
from harness.stats.arrays import arrays
from harness.stats.best_of import BestOf
from harness.stats.bootstrap import Statistic
from harness.stats.own_metrics import OwnMetric
from harness.store import Ledger
from harness.study.stage import Select
from harness.study.types import BUILT_IN
from tests.conftest import Finished


def test_the_corrected_mean_stands_beside_the_best_one(finished: Finished) -> None:
    folder, text = finished.run.report.parent, finished.run.report.read_text()
    estimates = read_statistics(folder).estimates
    for state in finished.run.state.stages:
        assert state.top is not None
        (found,) = (e for e in estimates if e.on == chosen_on(state))
        assert state.stage.select is not None
        metric = state.stage.select.metric
        assert (found.subject, f"val/{found.metric}") == (state.top.name, metric)
        board = pd.read_csv(folder / f"leaderboard-{state.stage.name}.csv")
        assert board["BBC-CV"].dropna().tolist() == pytest.approx([found.value])
        assert board[metric][board["BBC-CV"].notna()].tolist() == pytest.approx([state.top.summary[f"{metric}_mean"]])
        assert f"the {metric} of the best mean is {found.value:.3f}" in text
        assert json.loads(found.model_dump_json())["mark"] == "SYNTHETIC DATA"


def test_how_often_each_scenario_is_the_first_stands_in_a_line(finished: Finished) -> None:
    folder, text = finished.run.report.parent, finished.run.report.read_text()
    shares = [e for e in read_statistics(folder).estimates if e.method == FIRST_METHOD]
    for state in finished.run.state.stages:
        of_stage = {e.subject: e.value for e in shares if e.on.endswith(f"stage {state.stage.name}")}
        assert set(of_stage) == {scenario.name for scenario in state.scenarios}
        assert sum(of_stage.values()) == pytest.approx(1)
        often = max(of_stage, key=lambda name: of_stage[name])
        assert f" First on resamples: {often} in {of_stage[often]:.0%}" in text


class WholeOnly:
    """Takes the place of `best_of`: what each statistic is of all images, each once."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def __call__(self, clusters: NDArray[np.int64], statistics: Sequence[Statistic], _: bool) -> BestOf:
        self.values = [float(statistic(np.ones((1, len(clusters))))[0]) for statistic in statistics]
        return BestOf(0.0, 0.0, 1.0, [0.0] * len(statistics))


@pytest.mark.parametrize("metric", sorted(BUILT_IN - {"val/precision"}))  # of which some folds have none
def test_what_is_resampled_is_the_mean_over_the_folds(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    """Each image once gives the metric that the folds have."""
    seen = WholeOnly()
    monkeypatch.setattr("harness.report.numbers.chosen.best_of", seen)
    state = finished.run.state.stages[0]
    assert state.stage.select is not None
    select = Select.model_validate({"metric": metric})
    state = replace(state, stage=state.stage.model_copy(update={"select": select}))
    chosen(state, Predictions(Ledger(finished.store), "PNEUMONIA"), None, lambda *_: None)
    assert sorted(seen.values) == pytest.approx(sorted(s.summary[f"{metric}_mean"] for s in state.scenarios))


def test_a_metric_of_the_users_own_is_resampled_in_the_folds(finished: Finished) -> None:
    frame = Predictions(Ledger(finished.store), "PNEUMONIA").out_of_fold(finished.run.state.stages[0].scenarios[0])
    kappa = OwnMetric("Kappa", lambda labels, found: float(cohen_kappa_score(labels, found.argmax(axis=1))))
    statistic = mean_over_folds(frame, pd.Index(frame["image"]), metric_of("Kappa", "PNEUMONIA", kappa))
    assert statistic is not None
    folds = [kappa.value(*arrays(part)[1:]) for _, part in frame.groupby("fold")]
    assert statistic(np.ones((1, len(frame))))[0] == pytest.approx(np.mean(folds))
