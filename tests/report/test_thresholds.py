from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from harness.report.numbers.estimates import OVER_PATIENTS
from harness.report.numbers.predictive_numbers import NPV, PPV, PREDICTIVE, predictive_estimates
from harness.report.numbers.records import Statistics
from harness.report.numbers.reliability_numbers import reliability_estimates
from harness.report.numbers.threshold_numbers import (
    OPERATING,
    POINT,
    SWEEP,
    SWEPT_THRESHOLDS,
    OperatingPoint,
    chosen_point,
    declared_point,
    operating_point,
    threshold_estimates,
)
from harness.stats.metrics import expected_calibration_error
from harness.study.operating import Operating
from tests.conftest import Finished


def predictions(seed: int, n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.7
    scores = np.clip(rng.normal(np.where(positive, 0.75, 0.5), 0.15), 0.001, 0.999).round(3)
    labels = np.where(positive, "YES", "NO")
    return pd.DataFrame({"patient": range(n), "label": labels, "prob_NO": 1 - scores, "prob_YES": scores})


LABELS = predictions(1)["label"]


def youden(out_of_fold: pd.DataFrame) -> OperatingPoint:
    point = chosen_point(out_of_fold, "YES")
    assert point is not None
    return point


def test_the_operating_point_has_the_best_balanced_accuracy_of_all_thresholds() -> None:
    frame = predictions(1)
    actual, scores = frame["label"] == "YES", frame["prob_YES"]
    tried = {cut: balanced_accuracy_score(actual, scores >= cut) for cut in np.unique(scores)}
    assert tried[operating_point(frame, "YES")] == pytest.approx(max(tried.values()))


def test_where_no_threshold_beats_chance_the_usual_one_stays() -> None:
    frame = pd.DataFrame({"label": ["NO", "YES"], "prob_NO": [0.1, 0.9], "prob_YES": [0.9, 0.1]})
    assert operating_point(frame, "YES") == 0.5


def test_the_test_set_has_no_part_in_the_operating_point_and_is_scored_at_it() -> None:
    out_of_fold = predictions(2)
    point = youden(out_of_fold)
    found = [threshold_estimates(out_of_fold, predictions(seed), point, "s") for seed in (3, 4)]
    points = [next(e.value for e in of_test if e.metric == POINT) for of_test in found]
    assert points[0] == points[1] == operating_point(out_of_fold, "YES")
    test = predictions(3)
    called = test["prob_YES"] >= points[0]
    at_point = {e.metric: e for e in found[0] if e.on == OPERATING and e.at == points[0]}
    assert at_point["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(test["label"] == "YES", called))
    assert at_point["recall"].hits == int((called & (test["label"] == "YES")).sum())
    assert {e.at for e in found[0] if e.on == OPERATING} == {0.5, points[0]}


def test_the_sweep_goes_from_calling_all_to_calling_none() -> None:
    found = [e for e in threshold_estimates(predictions(5), None, youden(predictions(5)), "s") if e.on == SWEEP]
    for metric, sign in (("recall", -1), ("specificity", 1)):
        values = [e.value for e in found if e.metric == metric]
        assert len(values) == len(SWEPT_THRESHOLDS) + 1
        assert all(sign * (b - a) >= 0 for a, b in pairwise(values))


def test_without_a_positive_class_there_is_no_threshold() -> None:
    assert chosen_point(predictions(6), None) is None
    assert chosen_point(predictions(6).assign(prob_MAYBE=0.0), "YES", Operating(sensitivity=0.9)) is None


@pytest.mark.parametrize("least", [0.5, 0.9, 0.99])
def test_a_declared_rate_is_held_out_of_fold_by_the_threshold_that_gives_most_of_the_other_one(least: float) -> None:
    frame = pd.concat([predictions(seed).assign(image=range(300), repeat=seed, label=LABELS) for seed in (1, 2)])
    actual, scores = frame["label"] == "YES", frame["prob_YES"]
    every = sorted(set(scores))
    ill = [cut for cut in every if (scores[actual] >= cut).mean() >= least]
    well = [cut for cut in every if (scores[~actual] < cut).mean() >= least]
    assert declared_point(frame, "YES", Operating(sensitivity=least)) == max(ill)
    assert declared_point(frame, "YES", Operating(specificity=least)) == min(
        well, default=np.nextafter(scores.max(), 2)
    )
    point = chosen_point(frame, "YES", Operating(sensitivity=least))
    assert point == OperatingPoint(max(ill), "YES", f"highest threshold with a sensitivity of at least {least:g}")


def test_a_specificity_that_no_score_has_is_that_above_all_scores() -> None:
    frame = pd.DataFrame({"label": ["NO", "YES"], "prob_NO": [0.1, 0.9], "prob_YES": [0.9, 0.1]})
    point = declared_point(frame, "YES", Operating(specificity=0.9))
    assert 0.9 < point < 0.9 + 1e-9
    assert declared_point(frame, "YES", Operating(sensitivity=0.9)) == 0.1


def test_predictive_values_are_counted_on_the_test_set_and_found_at_declared_prevalences() -> None:
    test, point = predictions(3), youden(predictions(2))
    found = predictive_estimates(test, point, [0.05, 0.5], "s")
    assert [(e.metric, e.at) for e in found] == [(m, at) for at in (None, 0.05, 0.5) for m in (PPV, NPV)]
    actual, called = test["label"] == "YES", test["prob_YES"] >= point.threshold
    assert (found[0].hits, found[0].n) == ((called & actual).sum(), called.sum())
    assert (found[1].hits, found[1].n) == ((~called & ~actual).sum(), (~called).sum())
    for e in found[2:]:
        share = np.where(actual, (e.at or 0) / actual.mean(), (1 - (e.at or 0)) / (~actual).mean())  # of each image
        of = called if e.metric == PPV else ~called
        right = actual if e.metric == PPV else ~actual
        assert e.value == pytest.approx(share[of & right].sum() / share[of].sum())
        assert e.low is not None and e.high is not None and e.low < e.value < e.high
        assert (e.of_class, e.method) == ("YES", "MOVER, from Wilson")
    twice = pd.concat([test, test.assign(image=range(300, 600))])
    wider = predictive_estimates(twice, point, [0.05, 0.5], "s")
    assert wider[2].method == f"MOVER, from Wilson{OVER_PATIENTS}"
    assert wider[2].interval == pytest.approx(found[2].interval, rel=1e-2), "the same patients, twice"


def test_where_nothing_is_called_positive_there_is_no_ppv() -> None:
    found = predictive_estimates(predictions(3), OperatingPoint(2.0, "YES", "by hand"), [0.1], "s")
    assert [(e.metric, e.at) for e in found] == [(NPV, None), (NPV, 0.1)]
    assert found[1].value == pytest.approx(0.9)


def test_the_bins_of_the_reliability_table_give_the_calibration_error() -> None:
    frame = predictions(7)
    found = reliability_estimates(frame, "s", "test set", None)
    n = sum(e.n or 0 for e in found)
    assert n == len(frame)
    error = sum((e.n or 0) * abs(e.value - (e.at or 0)) for e in found) / n
    probabilities = frame[["prob_NO", "prob_YES"]].to_numpy()
    labels = (frame["label"] == "YES").to_numpy().astype(np.int64)
    assert error == pytest.approx(expected_calibration_error(probabilities, labels))


def test_the_report_states_the_operating_point_with_tables_and_figures(finished: Finished) -> None:
    folder, (test,) = finished.run.report.parent, finished.run.state.tests
    statistics = Statistics.model_validate_json((folder / "statistics.json").read_text())
    (point,) = [e.value for e in statistics.estimates if e.metric == POINT]
    assert f"**Operating point: {point:.3f}.**" in (folder / "report.md").read_text()
    sweep = pd.read_csv(folder / f"thresholds-{test.id}.csv")
    assert sweep.loc[sweep["operating point"] == "operating point", "threshold"].tolist() == [pytest.approx(point)]
    values = pd.read_csv(folder / f"predictive-values-{test.id}.csv")
    assert values["metric"].tolist() == [e.metric for e in statistics.estimates if e.on == PREDICTIVE] != []
    assert set(values["prevalence of"]) == {"test set"}
    for name in ("thresholds", "reliability"):
        assert all((folder / f"{name}-{test.id}.{kind}").exists() for kind in ("csv", "tex", "png", "svg"))
