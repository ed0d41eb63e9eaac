import numpy as np
import pandas as pd
import pytest

from harness.report.numbers.gap_numbers import STEPS, best_accuracy, gap_estimates
from harness.report.numbers.records import Statistics
from tests.conftest import Finished


def frame(labels: str, scores: list[float]) -> pd.DataFrame:
    names = [{"n": "NO", "y": "YES"}[letter] for letter in labels]
    positive = np.array(scores)
    return pd.DataFrame({"label": names, "prob_NO": 1 - positive, "prob_YES": positive})


def test_each_cause_takes_its_part_and_the_parts_add_up() -> None:
    out_of_fold = frame("nnyyyyyy", [0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])  # recalls 1/2 and 1
    test = frame("nnnnyyyy", [0.1, 0.6, 0.7, 0.9, 0.8, 0.8, 0.9, 0.95])  # 5 right; 7 with the cut below 0.8
    values = {e.metric: e.value for e in gap_estimates(out_of_fold, test, "YES", "s", None)}
    assert [values[step] for step in STEPS] == pytest.approx([7 / 8, (1 / 2 + 1) / 2, 7 / 8, 5 / 8])


@pytest.mark.parametrize(
    ("labels", "scores", "best"),
    [
        ("ny", [0.5, 0.5], 0.5),
        ("ny", [0.4, 0.3], 0.5),
        ("nny", [0.9, 0.95, 0.99], 1.0),
        ("yyn", [0.1, 0.1, 0.2], 2 / 3),
    ],
)
def test_the_best_threshold_is_found_and_never_parts_equal_scores(
    labels: str, scores: list[float], best: float
) -> None:
    tried = [
        np.mean([(score >= cut) == (label == "y") for label, score in zip(labels, scores, strict=True)])
        for cut in [0, *scores, 1]
    ]
    assert best_accuracy(frame(labels, scores), "YES") == pytest.approx(best) == pytest.approx(max(tried))


def test_the_report_has_the_gap_of_its_test(finished: Finished) -> None:
    statistics = Statistics.model_validate_json((finished.run.report.parent / "statistics.json").read_text())
    (subject,) = {e.subject for e in statistics.estimates if e.on == "gap"}
    accuracy = {e.on: e.value for e in statistics.estimates if (e.subject, e.metric) == (subject, "accuracy")}
    steps = {e.metric: e.value for e in statistics.estimates if e.on == "gap"}
    assert steps["cross-validation"] == pytest.approx(accuracy["out of fold"])
    assert steps["test"] == pytest.approx(accuracy["test set"])
    assert "## From cross-validation to test:" in finished.run.report.read_text()
