import json
from pathlib import Path

import pytest

from harness.report.numbers.records import Comparison, Estimate, Statistics
from harness.report.recomputed_paper import published_statistics, write_published
from harness.study.paper import load_published
from tests.conftest import ROOT

PAPER = ROOT / "studies" / "published" / "pneumonia-paper.yaml"
OURS, VGG = "ResNet152, dropout 0.5", "VGG16 (Ayan et al. 2019)"


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return published_statistics(load_published(PAPER))


def estimate(statistics: Statistics, subject: str, metric: str, of_class: str | None) -> Estimate:
    keys = (subject, metric, of_class)
    return next(e for e in statistics.estimates if (e.subject, e.metric, e.of_class) == keys)


@pytest.mark.parametrize(
    ("subject", "metric", "of_class", "hits", "n", "value", "low", "high"),
    [
        (OURS, "accuracy", None, 555, 624, "0.8894", "0.862", "0.912"),
        (VGG, "accuracy", None, 549, 624, "0.8798", "0.852", "0.903"),
        (OURS, "recall", "PNEUMONIA", 372, 390, "0.954", "0.928", "0.971"),
        (VGG, "recall", "PNEUMONIA", 348, 390, "0.892", "0.858", "0.919"),
        (OURS, "specificity", "PNEUMONIA", 183, 234, "0.782", "0.725", "0.830"),
        (VGG, "specificity", "PNEUMONIA", 201, 234, "0.859", "0.809", "0.898"),
    ],
)
def test_the_rates_of_the_paper_come_out_to_the_printed_digits(
    statistics: Statistics, subject: str, metric: str, of_class: str | None, hits: int, n: int,
    value: str, low: str, high: str,
) -> None:  # fmt: skip
    found = estimate(statistics, subject, metric, of_class)
    assert (found.hits, found.n) == (hits, n)
    for number, printed in ((found.value, value), (found.low, low), (found.high, high)):
        assert f"{number:.{len(printed) - 2}f}" == printed


@pytest.mark.parametrize(
    ("subject", "metric", "printed"),
    [(OURS, "balanced_accuracy", "0.868"), (VGG, "balanced_accuracy", "0.876"),
     (OURS, "mcc", "0.762"), (VGG, "mcc", "0.746")],
)  # fmt: skip
def test_the_scores_of_the_paper_come_out_to_the_printed_digits(
    statistics: Statistics, subject: str, metric: str, printed: str
) -> None:
    assert f"{estimate(statistics, subject, metric, None).value:.3f}" == printed


def test_no_overlap_of_errors_lets_the_paper_claim_its_model_better(statistics: Statistics) -> None:
    found = statistics.comparisons[0]
    assert None not in (found.low, found.high, found.p, found.p_low, found.p_high)
    assert [f"{100 * x:.2f}" for x in (found.difference,)] == ["0.96"]
    assert [f"{100 * (x or 0):.1f}" for x in (found.low, found.high)] == ["-2.6", "4.5"]
    assert [f"{x:.2f}" for x in (found.p, found.p_low, found.p_high)] == ["0.59", "0.44", "0.68"]
    assert (found.only_first, found.only_second, found.only_first_most, found.only_second_most) == (24, 18, 75, 69)
    assert found.verdict == "cannot resolve"


def test_cross_validation_against_test_is_no_noise(statistics: Statistics) -> None:
    found = statistics.comparisons[1]
    assert (f"{100 * found.difference:.1f}", f"{found.statistic:.1f}") == ("8.1", "9.9")
    assert found.verdict == "first is better"


def test_what_does_not_follow_is_found_and_what_follows_is_not_accused(statistics: Statistics) -> None:
    wrong = [(f.printed, round(f.recomputed or 0, 4)) for f in statistics.findings if f.kind == "does not follow"]
    assert wrong == [(6504, 5856), (0.87, 0.8798)]


def test_a_clear_difference_is_called_one(tmp_path: Path) -> None:
    text = PAPER.read_text().replace("correct: {NORMAL: 201, PNEUMONIA: 348}", "correct: {NORMAL: 101, PNEUMONIA: 300}")
    (tmp_path / "paper.yaml").write_text(text)
    found: Comparison = published_statistics(load_published(tmp_path / "paper.yaml")).comparisons[0]
    assert found.verdict == "first is better"


def test_the_report_needs_no_run_and_its_statistics_can_be_read_back(tmp_path: Path) -> None:
    page = write_published(load_published(PAPER), tmp_path / "out")
    assert "549/624 = 0.880" in page.read_text()
    written = Statistics.model_validate_json((page.parent / "statistics.json").read_text())
    assert written == published_statistics(load_published(PAPER))
    schema = json.loads((page.parent / "statistics.schema.json").read_text())
    assert set(schema["properties"]) == set(json.loads((page.parent / "statistics.json").read_text()))
    tables = {f"{name}.{kind}" for name in ("estimates", "comparisons") for kind in ("csv", "tex")}
    assert {*tables, "intervals.png", "intervals.svg"} <= {path.name for path in page.parent.iterdir()}
