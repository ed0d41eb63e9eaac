import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

from harness.report.numbers.comparisons import image_comparisons
from harness.report.numbers.predictions import pooled
from harness.report.numbers.records import Statistics
from harness.stats.arrays import arrays
from harness.stats.paired import corrected_t, delong, holm
from harness.store import Ledger
from harness.study.state import StageState
from tests.conftest import Finished


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
            "roc_auc": roc_auc_score(labels == positive, probabilities[:, positive]),
        }
        mine = [e for e in statistics.estimates if (e.subject, e.on) == (state.name, "out of fold")]
        for metric, value in expected.items():
            found = next(e for e in mine if e.metric == metric and e.of_class in (None, "PNEUMONIA"))
            assert found.value == pytest.approx(value)
            assert found.n == (len(frame) if metric != "recall" else int((labels == positive).sum()))
            for low, high in ((found.low, found.high), (found.bootstrap_low, found.bootstrap_high)):
                assert low is not None
                assert high is not None
                assert low - 1e-9 <= found.value <= high + 1e-9


def test_every_cell_of_a_scenario_knows_its_run(statistics: Statistics) -> None:
    ours = [e for e in statistics.estimates if e.subject != "majority class"]
    assert all(e.run_id for e in ours)
    runs = {(e.subject, e.run_id) for e in ours if e.on == "out of fold"}
    assert len({run for _, run in runs}) == len(runs) == len({subject for subject, _ in runs})


def test_the_majority_class_is_what_a_model_must_beat(finished: Finished, statistics: Statistics) -> None:
    predictions = pooled(list(finished.run.state.tests[0].jobs), Ledger(finished.store))
    found = next(e for e in statistics.estimates if (e.subject, e.on) == ("majority class", "test set"))
    assert (found.hits, found.n) == (int((predictions["label"] == "PNEUMONIA").sum()), len(predictions))


def test_the_paired_tests_are_on_the_same_images(finished: Finished, stage: StageState, statistics: Statistics) -> None:
    assert stage.top is not None
    (other,) = [s for s in stage.scenarios if s is not stage.top]
    frames = [
        pooled(list(s.jobs), Ledger(finished.store)).set_index("image").sort_index().reset_index()
        for s in (stage.top, other)
    ]
    assert frames[0]["image"].tolist() == frames[1]["image"].tolist()
    right = [arrays(frame)[1].argmax(axis=1) == arrays(frame)[2] for frame in frames]
    table = [[int((right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())],
             [int((~right[0] & right[1]).sum()), int((~right[0] & ~right[1]).sum())]]  # fmt: skip
    pair = (stage.top.name, other.name)
    found = {c.test: c for c in statistics.comparisons if (c.first, c.second) == pair}
    assert found["exact McNemar"].p == pytest.approx(float(mcnemar(table, exact=True).pvalue))
    assert (found["exact McNemar"].only_first, found["exact McNemar"].only_second) == (table[0][1], table[1][0])
    scores = [frame["prob_PNEUMONIA"].to_numpy(np.float64) for frame in frames]
    expected = delong(scores[0], scores[1], (frames[0]["label"] == "PNEUMONIA").to_numpy())
    assert found["DeLong"].p == pytest.approx(expected.p)
    assert found["DeLong"].difference == pytest.approx(expected.difference)


def test_holm_is_over_the_comparisons_of_one_test(statistics: Statistics) -> None:
    for test in ("corrected resampled t", "exact McNemar", "DeLong"):
        family = [c for c in statistics.comparisons if c.test == test]
        assert family
        for size in {c.comparisons for c in family}:
            assert size == 1  # the small study compares two scenarios in each stage
        assert [c.p_holm for c in family] == [holm([c.p or 0.0])[0] for c in family]


def test_only_the_folds_give_a_verdict(finished: Finished, statistics: Statistics) -> None:
    kinds = {(c.test, c.compares, c.verdict is None) for c in statistics.comparisons}
    assert kinds == {
        ("corrected resampled t", "recipes", False),
        ("exact McNemar", "fitted models", True),
        ("DeLong", "fitted models", True),
    }
    table = pd.read_csv(finished.run.report.parent / "comparisons-heads.csv", keep_default_na=False)
    verdicts = dict(zip(table["test"], table["verdict"], strict=True))
    assert (verdicts["exact McNemar"], verdicts["DeLong"]) == ("-", "-")
    assert "no scenario is better by them" in finished.run.report.read_text()


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
    """DeLong's variance needs two; McNemar's test needs none."""
    frame = pd.DataFrame(
        {"image": list("abc"), "patient": list("abc"), "label": ["YES", "NO", "NO"], "prob_YES": [0.9, 0.1, 0.2]}
    )
    frame["prob_NO"] = 1 - frame["prob_YES"]
    assert [c.test for c in image_comparisons([("a", frame), ("b", frame)], "test set", "YES")] == ["exact McNemar"]


def test_the_tables_of_the_report_are_there_in_every_form(finished: Finished) -> None:
    folder: Path = finished.run.report.parent
    for name in ("comparisons-heads", "comparisons-sampling"):
        assert (folder / f"{name}.csv").exists()
        assert "\\toprule" in (folder / f"{name}.tex").read_text()
    assert json.loads((folder / "statistics.schema.json").read_text())["title"] == "Statistics"
