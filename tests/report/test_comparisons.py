import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score

from harness.report.numbers.comparisons import TEST, fitted_comparisons, pair_comparison, stage_comparisons
from harness.report.numbers.predictions import pooled
from harness.report.numbers.records import Statistics
from harness.report.sections.stages import comparisons_of
from harness.stats.arrays import arrays
from harness.stats.fitted_models import accuracy_difference, area_difference
from harness.stats.paired import corrected_t, holm
from harness.store import Ledger
from harness.study.state import StageState
from tests.conftest import Finished
from tests.stats.test_null import stage as stage_of


@pytest.fixture(scope="module")
def statistics(finished: Finished) -> Statistics:
    return Statistics.model_validate_json((finished.run.report.parent / "statistics.json").read_text())


@pytest.fixture(scope="module")
def stage(finished: Finished) -> StageState:
    return finished.run.state.stages[0]


def test_the_estimates_are_those_of_the_stored_predictions(
    finished: Finished, stage: StageState, statistics: Statistics
) -> None:
    for state in stage.scenarios:
        frame = pooled(list(state.jobs), Ledger(finished.store))
        classes, probabilities, labels = arrays(frame)
        called = probabilities.argmax(axis=1)
        positive = classes.index("PNEUMONIA")
        expected = {
            "accuracy": accuracy_score(labels, called),
            "recall": recall_score(labels, called, pos_label=positive),
            "roc_auc": state.summary["val/roc_auc_mean"],
        }
        mine = [e for e in statistics.estimates if (e.subject, e.on) == (state.name, "out of fold")]
        for metric, value in expected.items():
            found = next(e for e in mine if e.metric == metric and e.of_class in (None, "PNEUMONIA"))
            assert found.value == pytest.approx(value)
            assert found.n == (len(frame) if metric != "recall" else int((labels == positive).sum()))
            assert found.interval is not None
            assert found.interval[0] - 1e-9 <= found.value <= found.interval[1] + 1e-9
            assert found.bootstrap_low is None, "it has an interval by formula"


def test_every_mean_over_the_folds_has_an_interval_and_one_number_has_one(
    stage: StageState, statistics: Statistics
) -> None:
    for state in stage.scenarios:
        of = {e.metric: e for e in statistics.estimates if (e.subject, e.on) == (state.name, "folds")}
        assert len(of) == 12
        for e in (of[name] for name in ("loss", "accuracy", "roc_auc", "pr_auc", "brier", "ece")):
            assert e.interval is not None, e.metric
            assert e.interval[0] <= e.value <= e.interval[1]
        ends = (e.interval for e in statistics.estimates if (e.subject, e.metric, e.on)[:2] == (state.name, "roc_auc")
                and e.on in ("folds", "out of fold"))  # fmt: skip
        assert len(set(ends)) == 1


def test_the_difference_of_the_fits_has_an_interval_over_patients(statistics: Statistics) -> None:
    for c in (c for c in statistics.comparisons if c.on == "folds"):
        assert c.fits_low is not None
        assert c.fits_high is not None
        assert c.fits_low <= c.difference <= c.fits_high


def test_every_cell_of_a_scenario_knows_its_run(statistics: Statistics) -> None:
    ours = [e for e in statistics.estimates if e.subject != "majority class"]
    assert all(e.run_id for e in ours)
    runs = {(e.subject, e.run_id) for e in ours if e.on == "out of fold"}
    assert len({run for _, run in runs}) == len(runs) == len({subject for subject, _ in runs})


def test_the_majority_class_is_what_a_model_must_beat(finished: Finished, statistics: Statistics) -> None:
    predictions = pooled(list(finished.run.state.tests[0].jobs), Ledger(finished.store))
    found = next(e for e in statistics.estimates if (e.subject, e.on) == ("majority class", "test set"))
    assert (found.hits, found.n) == (int((predictions["label"] == "PNEUMONIA").sum()), len(predictions))


def fitted_model(seed: int, patients: int = 12, images: int = 3) -> pd.DataFrame:
    """Predictions of a model on the test images of some patients."""
    count = patients * images
    frame = pd.DataFrame({"image": [f"i{n}" for n in range(count)], "patient": np.repeat(np.arange(patients), images)})
    frame["label"] = np.where(frame["patient"] % 2, "YES", "NO")
    frame["prob_YES"] = np.random.default_rng(seed).random(count)
    return frame.assign(prob_NO=1 - frame["prob_YES"])


def test_fitted_models_are_tested_on_the_same_images_over_whole_patients_without_a_verdict() -> None:
    first, second = fitted_model(0), fitted_model(1)
    found = fitted_comparisons([("a", first), ("b", second.sample(frac=1, random_state=0))], TEST, "YES")
    assert [(c.test, c.compares, c.verdict) for c in found] == [
        ("accuracy, clustered", "fitted models", None),
        ("DeLong, clustered", "fitted models", None),
    ]
    positive, patients = (first["label"] == "YES").to_numpy(), first["patient"].to_numpy()
    right = [(frame["prob_YES"] > 0.5).to_numpy() == positive for frame in (first, second)]
    scores = [frame["prob_YES"].to_numpy() for frame in (first, second)]
    expected = [
        accuracy_difference(right[0], right[1], patients),
        area_difference(scores[0], scores[1], positive, patients),
    ]
    for c, test in zip(found, expected, strict=True):
        assert (c.difference, c.low, c.high, c.p) == pytest.approx((test.difference, test.low, test.high, test.p))
    assert found[0].only_first == int((right[0] & ~right[1]).sum())
    assert found[0].only_second == int((right[1] & ~right[0]).sum())


def test_a_pair_that_is_asked_for_is_adjusted_for_all_pairs_of_its_stage() -> None:
    values = np.array([[0.90, 0.91, 0.90, 0.92], [0.89, 0.90, 0.90, 0.91], [0.71, 0.70, 0.72, 0.71]])
    state = stage_of(values, images=[200] * 4)
    best, near, far = state.scenarios
    of_report = {(c.first, c.second): c for c in stage_comparisons(state)}
    for other in (near, far):
        assert pair_comparison(state, best, other) == of_report[best.name, other.name]
    turned = pair_comparison(state, far, best)
    assert (turned.verdict, turned.practical) == ("second is better", "worse")
    assert turned.p_holm == of_report[best.name, far.name].p_holm
    apart = pair_comparison(state, near, far)
    assert apart.p is not None
    assert apart.p_holm == pytest.approx(3 * apart.p)
    assert (apart.verdict, apart.comparisons) == ("first is better", 3)


def test_holm_is_over_the_comparisons_of_one_test() -> None:
    fitted = [(str(seed), fitted_model(seed)) for seed in range(4)]
    found = fitted_comparisons(fitted, TEST, "YES")
    for test in {c.test for c in found}:
        family = [c for c in found if c.test == test]
        assert [c.comparisons for c in family] == [3] * 3
        assert [c.p_holm for c in family] == holm([c.p or 0.0 for c in family])


def test_out_of_fold_recipes_alone_are_compared(finished: Finished, statistics: Statistics) -> None:
    assert {(c.test, c.compares) for c in statistics.comparisons} == {("corrected resampled t", "recipes")}
    assert all(c.verdict and c.comparisons == 1 for c in statistics.comparisons)  # two scenarios in each stage
    assert "fitted models" not in finished.run.report.read_text()


def test_the_t_test_can_be_redone_from_the_fold_values(statistics: Statistics) -> None:
    for c in (c for c in statistics.comparisons if c.on == "folds"):
        first, second = (
            next(e for e in statistics.estimates if (e.subject, e.on, e.metric) == (name, "folds", c.metric))
            for name in (c.first, c.second)
        )
        assert first.folds is not None
        assert second.folds is not None
        assert (first.value, first.sd) == pytest.approx((np.mean(first.folds), np.std(first.folds, ddof=1)))
        found = corrected_t(np.subtract(first.folds, second.folds).tolist(), 1.0)
        assert (found.difference, found.p) == pytest.approx((c.difference, c.p))


def test_every_number_of_the_test_table_is_in_the_statistics(finished: Finished, statistics: Statistics) -> None:
    (test,) = finished.run.state.tests
    path = finished.run.report.parent / f"test-metrics-{test.id}.csv"
    (row,) = pd.read_csv(path).drop(columns="mark").to_dict("records")
    of_test = [e for e in statistics.estimates if (e.subject, e.on) == (test.name, "test set")]
    for name, value in row.items():
        (found,) = [e for e in of_test if e.metric == name and e.of_class in (None, "PNEUMONIA")]
        assert found.value == pytest.approx(value)


def test_one_image_of_a_class_has_no_test_of_areas() -> None:
    """The variance of an area needs two; that of an accuracy needs none."""
    frame = pd.DataFrame(
        {"image": list("abc"), "patient": list("abc"), "label": ["YES", "NO", "NO"], "prob_YES": [0.9, 0.1, 0.2]}
    )
    frame["prob_NO"] = 1 - frame["prob_YES"]
    assert [c.metric for c in fitted_comparisons([("a", frame), ("b", frame)], TEST, "YES")] == ["accuracy"]


def test_the_tables_of_the_report_are_there_in_every_form(finished: Finished) -> None:
    folder: Path = finished.run.report.parent
    for name in ("comparisons-heads", "comparisons-sampling"):
        assert (folder / f"{name}.csv").exists()
        assert "\\toprule" in (folder / f"{name}.tex").read_text()
    assert json.loads((folder / "statistics.schema.json").read_text())["title"] == "Statistics"


def test_a_stage_has_no_comparisons_of_another_stage_with_the_same_scenarios(finished: Finished) -> None:
    first, last = finished.run.state.stages
    both = tuple({s.id: s for s in (*first.scenarios, *last.scenarios)}.values())
    wide = replace(last, scenarios=both)
    own = stage_comparisons(wide)
    every = [*stage_comparisons(first), *own]
    assert len(every) == len(first.scenarios) - 1 + len(both) - 1
    assert comparisons_of(wide, [first, wide], every) == own
    assert comparisons_of(first, [first, wide], every) == stage_comparisons(first)
