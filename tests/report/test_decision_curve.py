"""Decision curves: against published code, their bands, and how they stand in the report."""

import numpy as np
import pandas as pd
import pytest

from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.decision_curve import CURVE, NET_BENEFIT, OF_ALL, decision_estimates, of_all
from harness.report.numbers.records import read_statistics
from harness.report.numbers.threshold_numbers import SWEPT_THRESHOLDS
from tests.conftest import Finished
from tests.report.test_thresholds import predictions


def frame(seed: int) -> pd.DataFrame:
    """Predictions of 300 images, two of each patient."""
    found = predictions(seed)
    return found.assign(patient=np.arange(len(found)) // 2, fold=0)


def curve(found: pd.DataFrame, metric: str) -> dict[float, float]:
    """The values of a metric by threshold."""
    estimates = decision_estimates(found, "YES", "s", TEST)
    return {e.at: e.value for e in estimates if e.metric == metric and e.at is not None}


def test_the_net_benefit_is_that_of_dcurves() -> None:
    """By dcurves 1.1.7, `dca(data, outcome="y", modelnames=["m"], thresholds=[...])`, on the same predictions."""
    for metric, expected in ((NET_BENEFIT, [0.662963, 0.493333, 0.083333]), (OF_ALL, [0.662963, 0.393333, -2.033333])):
        found = curve(frame(8), metric)
        assert list(found) == list(SWEPT_THRESHOLDS)
        assert [found[at] for at in (0.1, 0.5, 0.9)] == pytest.approx(expected, abs=1e-6)


def test_a_perfect_model_gains_the_share_of_positives_and_who_treats_all_gains_nothing_at_that_threshold() -> None:
    perfect = frame(9).assign(
        prob_YES=lambda f: (f["label"] == "YES").astype(float), prob_NO=lambda f: 1 - f["prob_YES"]
    )
    share = (perfect["label"] == "YES").mean()
    assert list(curve(perfect, NET_BENEFIT).values()) == pytest.approx([share] * len(SWEPT_THRESHOLDS))
    assert of_all(share, share) == pytest.approx(0)


def test_the_band_holds_the_value_and_repeats_are_averaged() -> None:
    estimates = [e for e in decision_estimates(frame(8), "YES", "s", TEST) if e.metric == NET_BENEFIT]
    for e in estimates:
        assert e.bootstrap_low is not None and e.bootstrap_high is not None
        assert e.bootstrap_low < e.value < e.bootstrap_high
    both = pd.concat([frame(8).assign(repeat=0, image=range(300)), frame(8).assign(repeat=1, image=range(300))])
    averaged = [e for e in decision_estimates(both, "YES", "s", TEST) if e.metric == NET_BENEFIT]
    assert [e.value for e in averaged] == pytest.approx([e.value for e in estimates])
    assert {e.repeats for e in averaged} == {2}


def test_the_report_draws_the_curves_and_has_the_table(finished: Finished) -> None:
    folder, (test,) = finished.run.report.parent, finished.run.state.tests
    estimates = read_statistics(folder).estimates
    for name, on in (("", TEST), ("-folds", OUT_OF_FOLD)):
        values = [e.value for e in estimates if e.on == CURVE + on and e.metric == NET_BENEFIT]
        assert len(values) == len(SWEPT_THRESHOLDS)
        assert all((folder / f"decision{name}-{test.id}.{kind}").exists() for kind in ("png", "svg", "csv", "tex"))
        table = pd.read_csv(folder / f"decision{name}-{test.id}.csv")
        assert table["net benefit"].tolist() == pytest.approx(values)
    assert "**Net benefit.**" in (folder / "report.md").read_text()
