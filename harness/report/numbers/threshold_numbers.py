"""The operating point chosen on out-of-fold predictions, and the rates at every threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from harness.report.numbers.estimates import Classes, Matrix, patients_of, predicted_rates, tallied
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.stats import ROUNDING
from harness.stats.arrays import arrays
from harness.study.operating import Operating

SWEEP = "threshold sweep, out of fold"
OPERATING = "test set, by threshold"
SWEPT_THRESHOLDS = tuple(float(t) for t in np.linspace(0.05, 0.95, 19).round(2))
POINT = "operating point"
YOUDEN = "Youden's J"  # the method of a point with the best balanced accuracy
DEFAULT_THRESHOLD = 0.5  # predicts the more probable of two classes
COLUMNS = {
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
}


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold from which on an image is predicted positive, and how it was chosen out of fold."""

    threshold: float
    positive: str
    method: str


def point_words(method: str | None) -> str:
    """What the threshold is that was chosen by this method."""
    return "threshold with the best balanced accuracy" if method == YOUDEN else f"{method}"


def operating_point(out_of_fold: pd.DataFrame, positive: str) -> float:
    """The threshold of the best balanced accuracy (Youden 1950) on these predictions, never on those of the test set.

    With several repeats, it is the one threshold with the best mean over them: that of their rows together, as every
    repeat has the same images.
    """
    rows = pd.concat(by_repeat(out_of_fold))
    is_positive, scores = (rows["label"] == positive).to_numpy(), rows[f"prob_{positive}"].to_numpy(np.float64)
    false, true, cuts = roc_curve(is_positive, scores)
    best = int(np.argmax(true - false))
    return float(cuts[best]) if np.isfinite(cuts[best]) else DEFAULT_THRESHOLD  # none is better than chance


def declared_point(out_of_fold: pd.DataFrame, positive: str, operating: Operating) -> float:
    """The threshold at which these predictions have the declared rate, and as much of the other one as they can.

    Of a sensitivity it is the highest one that has it, of a specificity the lowest. With several repeats the rate is
    the mean over them. Above all scores where less than all negatives below them would be too few.
    """
    rows, (rate, least) = pd.concat(by_repeat(out_of_fold)), operating.declared
    is_positive, scores = (rows["label"] == positive).to_numpy(), rows[f"prob_{positive}"].to_numpy(np.float64)
    false, true, cuts = roc_curve(is_positive, scores, drop_intermediate=False)
    if rate == "sensitivity":
        return float(cuts[np.argmax(true >= least - ROUNDING)])
    lowest = float(cuts[np.flatnonzero(1 - false >= least - ROUNDING)[-1]])
    return lowest if np.isfinite(lowest) else float(np.nextafter(scores.max(), 2))


def chosen_point(
    out_of_fold: pd.DataFrame, positive: str | None, operating: Operating | None = None
) -> OperatingPoint | None:
    """The operating point of a scenario; None where there are not two classes.

    operating: what the study file declares; None: the point with the best balanced accuracy.
    """
    classes, _, _ = arrays(out_of_fold)
    if positive is None or len(classes) != 2:
        return None
    if operating is None:
        return OperatingPoint(operating_point(out_of_fold, positive), positive, YOUDEN)
    rate, least = operating.declared
    end = "highest" if rate == "sensitivity" else "lowest"
    method = f"{end} threshold with a {rate} of at least {least:g}"
    return OperatingPoint(declared_point(out_of_fold, positive, operating), positive, method)


def threshold_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame | None, point: OperatingPoint, subject: str
) -> list[Estimate]:
    """The sweep over out-of-fold predictions, and the test set at the default threshold and at the operating point."""
    at, positive = point.threshold, point.positive
    found = [Estimate(subject=subject, on=SWEEP, metric=POINT, of_class=positive, value=at, method=point.method)]
    parts, tested = by_repeat(out_of_fold), [] if test is None else by_repeat(test)
    for threshold in sorted({*SWEPT_THRESHOLDS, at}):
        found += _wanted(rates_at(parts, threshold, positive, subject, SWEEP), positive)
    for threshold in (DEFAULT_THRESHOLD, at) if tested else ():
        found += _wanted(rates_at(tested, threshold, positive, subject, OPERATING), positive)
    return found


def _wanted(found: Sequence[Estimate], positive: str) -> list[Estimate]:
    """The rates of the positive class, and those of all classes."""
    return [e for e in found if e.metric in COLUMNS and e.of_class in (None, positive)]


def rates_at(parts: Sequence[pd.DataFrame], threshold: float, positive: str, subject: str, on: str) -> list[Estimate]:
    """The rates of each class, and those of all classes, at one threshold. parts: the repeats."""
    classes, _, labels = arrays(parts[0])
    predicted = np.stack([_predicted_at(part, threshold, positive) for part in parts])
    found = predicted_rates(labels, predicted, classes, patients_of(parts[0]), subject, on)
    return [e.model_copy(update={"at": threshold}) for e in found]


def matrix_at(frame: pd.DataFrame, threshold: float, positive: str) -> Matrix:
    """The confusion matrix [true, predicted] where an image is predicted positive from this probability on."""
    _, _, labels = arrays(frame)
    return tallied(labels, _predicted_at(frame, threshold, positive), 2)


def _predicted_at(frame: pd.DataFrame, threshold: float, positive: str) -> Classes:
    """The predicted class of every image, by number."""
    classes, probabilities, _ = arrays(frame)
    index = classes.index(positive)
    predicted: Classes = np.where(probabilities[:, index] >= threshold, index, 1 - index)
    return predicted
