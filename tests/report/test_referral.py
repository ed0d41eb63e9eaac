"""Referring the least sure: what is referred, and the rates of the rest."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score

from harness.report.numbers.estimates import OVER_PATIENTS
from harness.report.numbers.records import read_statistics
from harness.report.numbers.referral import DISTANCE, REFERRED, SHARE_REFERRED, SHARES, referral_estimates
from harness.report.numbers.threshold_numbers import OperatingPoint
from harness.report.sections.least_sure import referral_table
from harness.stats.proportions import wilson
from tests.conftest import Finished
from tests.report.test_thresholds import predictions

POINT = OperatingPoint(0.6, "YES", "by hand")


def test_the_distance_is_chosen_out_of_fold_and_the_rates_are_those_of_the_rest_of_the_test_set() -> None:
    out_of_fold, test = predictions(1), predictions(2)
    found = {(e.at, e.metric): e for e in referral_estimates(out_of_fold, test, POINT, "s")}
    assert list(dict.fromkeys(at for at, _ in found)) == list(SHARES)
    for share in SHARES:
        distance = found[share, DISTANCE].value
        near = (out_of_fold["prob_YES"] - 0.6).abs() < distance
        assert share - 0.02 < near.mean() <= share, "scores of three digits have ties"
        left = (test["prob_YES"] - 0.6).abs() < distance
        assert found[share, SHARE_REFERRED].hits == left.sum()
        rest = test[~left]
        actual, called = rest["label"] == "YES", rest["prob_YES"] >= 0.6
        assert found[share, "accuracy"].value == pytest.approx(accuracy_score(actual, called))
        assert found[share, "recall"].value == pytest.approx(recall_score(actual, called))
        assert found[share, "specificity"].value == pytest.approx(recall_score(~actual, ~called))
        sensitivity = found[share, "recall"]
        assert sensitivity.interval == pytest.approx(wilson(sensitivity.hits or 0, int(actual.sum())))
    assert found[0.2, "accuracy"].value > found[0.0, "accuracy"].value


def test_the_intervals_are_over_patients_and_repeats_choose_one_distance() -> None:
    test = predictions(2).assign(patient=np.arange(300) // 3)
    first = predictions(1).assign(image=range(300), repeat=0)
    both = pd.concat([first, first.assign(repeat=1)])
    found = referral_estimates(both, test, POINT, "s")
    assert {e.method for e in found if e.low is not None} == {f"Wilson{OVER_PATIENTS}"}
    alone = [e.value for e in referral_estimates(first, test, POINT, "s")]
    assert [e.value for e in found] == pytest.approx(alone)


def test_a_rate_of_no_image_is_left_out() -> None:
    test = predictions(2).query("label == 'YES'")
    found = referral_estimates(predictions(1), test, POINT, "s")
    assert "specificity" not in {e.metric for e in found}
    assert "specificity" not in referral_table(found)


def test_the_report_has_the_table(finished: Finished) -> None:
    folder, (test,) = finished.run.report.parent, finished.run.state.tests
    estimates = [e for e in read_statistics(folder).estimates if e.on == REFERRED]
    table = pd.read_csv(folder / f"referred-{test.id}.csv")
    assert table["referred out of fold"].tolist() == list(SHARES)
    assert table["distance"].tolist() == pytest.approx([e.value for e in estimates if e.metric == DISTANCE])
    assert "**Referring the least sure.**" in (folder / "report.md").read_text()
