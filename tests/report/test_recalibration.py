"""Calibration intercept, slope and O/E in a report."""

import numpy as np
import pandas as pd
import pytest

from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.estimates import OVER_PATIENTS
from harness.report.numbers.recalibration import RECALIBRATED, recalibration_estimates
from harness.report.numbers.records import read_statistics
from harness.stats.calibration import INTERCEPT, RATIO, SLOPE, calibration_slope
from tests.conftest import Finished
from tests.report.test_thresholds import predictions


def test_each_repeat_has_its_numbers_and_the_mean_is_shown_with_an_interval_over_patients() -> None:
    first = predictions(1).assign(image=range(300), patient=np.arange(300) // 2, repeat=0)
    second = first.assign(repeat=1, prob_YES=lambda f: f["prob_YES"] ** 2, prob_NO=lambda f: 1 - f["prob_YES"])
    found = {e.metric: e for e in recalibration_estimates(pd.concat([first, second]), "YES", "s", OUT_OF_FOLD)}
    positive = (first["label"] == "YES").to_numpy()
    slopes = [calibration_slope(each["prob_YES"].to_numpy(), positive) or 0 for each in (first, second)]
    assert list(found) == [INTERCEPT, SLOPE, RATIO]
    assert found[SLOPE].value == pytest.approx(np.mean(slopes))
    ratios = [positive.sum() / each["prob_YES"].sum() for each in (first, second)]
    assert found[RATIO].value == pytest.approx(np.mean(ratios))
    for e in found.values():
        assert (e.repeats, e.n, e.of_class, e.on) == (2, 300, "YES", RECALIBRATED + OUT_OF_FOLD)
        assert e.method == f"sandwich, Student's t{OVER_PATIENTS}"


def test_the_report_has_them_out_of_fold_and_on_the_test_set(finished: Finished) -> None:
    folder, (test,) = finished.run.report.parent, finished.run.state.tests
    estimates = [e for e in read_statistics(folder).estimates if e.on.startswith(RECALIBRATED)]
    assert {(e.on, e.metric) for e in estimates} == {
        (f"{RECALIBRATED}{on}", name) for on in (OUT_OF_FOLD, TEST) for name in (INTERCEPT, SLOPE, RATIO)
    }
    assert all(e.run_id and e.mark for e in estimates), "the phantoms are marked, and MLflow is named"
    table = pd.read_csv(folder / f"calibration-{test.id}.csv")
    assert table["value"].tolist() == pytest.approx([e.value for e in estimates])
    assert "slope, below 1 where probabilities are too extreme" in (folder / "report.md").read_text()
