"""Temperature scaling and the smooth calibration curve in a report."""

import numpy as np
import pandas as pd
import pytest

from harness.report.numbers.calibration_curve import OBSERVED, SMOOTH, curve_estimates
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.records import Estimate, read_statistics
from harness.report.numbers.scaled_numbers import (
    BEFORE,
    CROSS_FITTED,
    FITTED,
    STATES,
    TEMPERATURE,
    WITH_SHIFT,
    on_scaled,
    scaled_estimates,
)
from harness.stats.arrays import arrays
from harness.stats.calibration import INTERCEPT, SLOPE
from harness.stats.metrics import log_loss
from harness.stats.temperature import fitted_scaling
from tests.conftest import Finished


def predictions(seed: int, too_sure: float, count: int = 900) -> pd.DataFrame:
    """Predictions whose log-odds are so many times too large, in three folds."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=count)
    positive = rng.random(count) < 1 / (1 + np.exp(-odds))
    frame = pd.DataFrame({"image": [f"{seed}-{n}" for n in range(count)], "patient": np.arange(count) // 2})
    score = 1 / (1 + np.exp(-too_sure * odds))
    return frame.assign(label=np.where(positive, "YES", "NO"), fold=np.arange(count) % 3, repeat=0, prob_YES=score,
                        prob_NO=1 - score)  # fmt: skip


OUT, ON_TEST = predictions(1, 3), predictions(2, 3).drop(columns=["fold", "repeat"])
FOUND = scaled_estimates(OUT, ON_TEST, "YES", "s")


def one(state: str, on: str, metric: str) -> Estimate:
    (found,) = (e for e in FOUND if (e.on, e.metric) == (on_scaled(state, on), metric))
    return found


@pytest.mark.parametrize("on", [OUT_OF_FOLD, TEST])
@pytest.mark.parametrize("state", STATES)
def test_scaling_that_was_fitted_out_of_fold_mends_probabilities_that_are_too_sure(on: str, state: str) -> None:
    before, after = (one(each, on, SLOPE) for each in (BEFORE, state))
    assert before.interval is not None
    assert before.interval[1] < 0.5
    assert after.interval is not None
    assert after.interval[0] < 1 < after.interval[1]
    for metric in ("loss", "brier", "ece"):
        found = one(state, on, metric)
        assert found.value < one(BEFORE, on, metric).value
        assert found.interval is not None
    assert one(state, on, INTERCEPT).interval is not None


def test_out_of_fold_no_image_takes_part_in_its_own_scaling() -> None:
    """By hand: each fold by the temperature of the other two."""
    scaled = []
    for fold in range(3):
        _, probabilities, labels = arrays(OUT[OUT["fold"] != fold])
        _, own, own_labels = arrays(OUT[OUT["fold"] == fold])
        scaled.append(log_loss(fitted_scaling(probabilities, labels).of(own), own_labels))
    found = one(TEMPERATURE, OUT_OF_FOLD, "loss")
    assert found.value == pytest.approx(np.mean(scaled))
    assert found.method == CROSS_FITTED


def test_the_test_set_is_scaled_by_all_out_of_fold_predictions_and_not_by_its_labels() -> None:
    _, probabilities, labels = arrays(OUT)
    scaling = fitted_scaling(probabilities, labels)
    (temperature,) = (e for e in FOUND if (e.on, e.metric) == (FITTED, TEMPERATURE))
    assert temperature.value == pytest.approx(scaling.temperature)
    assert temperature.value == pytest.approx(3, rel=0.2)
    _, on_test, test_labels = arrays(ON_TEST)
    assert one(TEMPERATURE, TEST, "loss").value == pytest.approx(log_loss(scaling.of(on_test), test_labels))
    turned = ON_TEST.assign(label=ON_TEST["label"].map({"YES": "NO", "NO": "YES"}))
    fitted = [e for e in scaled_estimates(OUT, turned, "YES", "s") if e.on == FITTED]
    assert fitted == [e for e in FOUND if e.on == FITTED]
    shifts = [e.value for e in fitted if e.metric == "class shift"]
    assert len(shifts) == 2
    assert sum(shifts) == pytest.approx(0, abs=1e-9)


def test_several_classes_are_scaled_too_and_have_no_slope() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.dirichlet([1, 1, 1], 90), columns=["prob_A", "prob_B", "prob_C"])
    frame = frame.assign(label=rng.choice(list("ABC"), 90), image=range(90), patient=range(90), fold=np.arange(90) % 3)
    found = scaled_estimates(frame, frame.drop(columns="fold"), None, "s")
    assert {e.metric for e in found if e.on == on_scaled(WITH_SHIFT, TEST)} == {"loss", "brier", "ece"}


def test_the_curve_of_probabilities_that_are_too_sure_is_flat_and_has_a_band() -> None:
    found = curve_estimates(OUT, "YES", "s", OUT_OF_FOLD)
    ends = found[0], found[-1]
    assert all(e.interval is not None and e.metric == OBSERVED for e in found)
    assert ends[0].value > (ends[0].at or 0) + 0.03
    assert ends[1].value < (ends[1].at or 0) - 0.03


def test_the_report_has_the_table_and_the_curve(finished: Finished) -> None:
    folder, (test,) = finished.run.report.parent, finished.run.state.tests
    estimates = read_statistics(folder).estimates
    assert all(e.run_id and e.mark for e in estimates if "scaling" in e.on or e.on.startswith(SMOOTH))
    table = pd.read_csv(folder / f"scaled-{test.id}.csv")
    assert table["probabilities"].tolist() == [
        f"{state}, {on}" for state in (BEFORE, *STATES) for on in (OUT_OF_FOLD, TEST)
    ]
    text = (folder / "report.md").read_text()
    assert "the labels of the test set are used for nothing" in text
    if any(e.on.startswith(SMOOTH) for e in estimates):
        assert f"![smooth calibration](smooth-calibration-{test.id}.png)" in text
