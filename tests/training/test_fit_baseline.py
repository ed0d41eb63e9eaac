"""The study of the baselines, with small stand-ins for its big networks."""

from collections.abc import Callable

import pandas as pd
import pytest
from mlflow import MlflowClient

from harness.prepare import prepare
from harness.report.numbers.predictions import ensemble, pooled
from harness.report.numbers.records import Statistics
from harness.stats.arrays import arrays
from harness.store import Ledger, Store
from harness.study import Study, load_study
from harness.study.scenario_state import ScenarioState
from harness.study.state import final_test
from tests.conftest import ROOT, Finished, run_in, runs_of

SMALL = [
    "data={source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 48, test: 24}}",
    "folds.k=2",
    "base.weights=none",
    "base.epochs=2",
    "base.learning_rate=0.001",
    "stages.0.grid.backbone=[test_resnet, small-cnn, som, majority]",
]


@pytest.fixture(scope="module")
def baselines(new_store: Callable[[], Store]) -> Finished:
    return run_in(load_study(ROOT / "studies" / "baselines.yaml", SMALL), new_store())


@pytest.mark.long
def test_every_baseline_is_on_the_same_folds_and_the_same_test_images(baselines: Finished) -> None:
    ledger, (stage,) = Ledger(baselines.store), baselines.run.state.stages
    assert not baselines.run.failed
    for states in (stage.scenarios, baselines.run.state.tests):
        assert [s.settings.backbone for s in states] == ["test_resnet", "small-cnn", "som", "majority"]
        images = [sorted(pooled(list(s.jobs), ledger)["image"]) for s in states]
        assert all(names == images[0] for names in images)


def test_the_majority_class_scores_what_the_counts_say(baselines: Finished) -> None:
    test = next(t for t in baselines.run.state.tests if t.scenario.settings.backbone == "majority")
    ((_, record),) = test.records.items()
    assert record.metrics["test/accuracy"] == 18 / 24
    assert record.metrics["test/roc_auc"] == 0.5
    assert record.metrics["test/brier"] == pytest.approx(0.75 * 0.25)


def test_what_a_baseline_does_not_have_is_not_claimed(baselines: Finished) -> None:
    params = {run.data.params["backbone"]: run.data.params for run in runs_of(baselines.store, "scenario")}
    assert [params[name]["head"] for name in ("small-cnn", "som", "majority")] == ["dropout-gap", "none", "none"]
    assert {params[name]["weights"] for name in ("small-cnn", "som", "majority")} == {"none"}


def test_all_are_declared_looks_and_stand_side_by_side(baselines: Finished) -> None:
    dataset = prepare(baselines.study, baselines.store).inputs.dataset
    assert len(Ledger(baselines.store).looks.at(dataset)) == 4
    text = baselines.run.report.read_text()
    assert "4 of 4 declared looks" in text
    assert "SEEN" not in text
    assert text.count("Declared in the study file, not selected") == 3
    side_by_side = pd.read_csv(baselines.run.report.parent / "comparisons-test.csv")
    assert len(side_by_side) == 6
    assert len(set(side_by_side["first"])) == 1


def test_the_tests_on_test_images_are_of_the_stored_predictions(baselines: Finished) -> None:
    ledger, (stage,) = Ledger(baselines.store), baselines.run.state.stages
    statistics = Statistics.model_validate_json((baselines.run.report.parent / "statistics.json").read_text())
    assert stage.best is not None
    found = [c for c in statistics.comparisons if c.on == "test set" and c.metric == "accuracy"]
    assert {c.first for c in found} == {stage.best.name}
    right = {t.scenario.name: _right(t, ledger) for t in baselines.run.state.tests}
    for c in found:
        both = pd.DataFrame({"first": right[c.first], "second": right[c.second]})
        counts = [int((both["first"] & ~both["second"]).sum()), int((both["second"] & ~both["first"]).sum())]
        assert [c.only_first, c.only_second] == counts
        assert c.difference == pytest.approx((counts[0] - counts[1]) / len(both))


def _right(state: ScenarioState, ledger: Ledger) -> "pd.Series[bool]":
    frame = ensemble(pooled(list(state.jobs), ledger))
    _, probabilities, labels = arrays(frame)
    return pd.Series(probabilities.argmax(axis=1) == labels, index=frame["image"])


def test_a_baseline_that_wins_is_scored_but_is_no_model_and_the_run_says_so(
    small_study: Callable[..., Study], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    study = small_study(
        "base.backbone=majority", "stages=[{name: one, select: {metric: val/roc_auc}}]", "test.stages=[one]"
    )
    done = run_in(study, store)
    assert [test.finished for test in done.run.state.tests] == [True]
    words = "majority is a baseline and not a network that can be packaged"
    assert final_test(study, done.run.state) == words
    assert f"no model is registered: {words}" in capsys.readouterr().err
    assert MlflowClient(store.tracking_uri).search_registered_models() == []
    assert words in (done.run.report.parent / "summary.md").read_text()
