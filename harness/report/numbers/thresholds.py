"""The operating point chosen on out-of-fold predictions, and the rates at every threshold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from harness.report.numbers.estimates import Classes, Matrix, patients_of, predicted_rates, tallied
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.stats.arrays import arrays

SWEEP = "threshold sweep, out of fold"
OPERATING = "test set, by threshold"
SWEPT_THRESHOLDS = tuple(float(t) for t in np.linspace(0.05, 0.95, 19).round(2))
POINT = "operating point"
DEFAULT_THRESHOLD = 0.5  # predicts the more probable of two classes
COLUMNS = {
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
}


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


def chosen_point(out_of_fold: pd.DataFrame, positive: str | None) -> float | None:
    """The operating point of a scenario; None where there are not two classes."""
    classes, _, _ = arrays(out_of_fold)
    return operating_point(out_of_fold, positive) if positive is not None and len(classes) == 2 else None


def threshold_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame | None, positive: str | None, subject: str, run_id: str | None
) -> list[Estimate]:
    """The sweep over out-of-fold predictions, and the test set at the default threshold and at the operating point.

    Empty where there are not two classes.
    """
    point = chosen_point(out_of_fold, positive)
    if positive is None or point is None:
        return []
    found = [Estimate(subject=subject, on=SWEEP, metric=POINT, of_class=positive, value=point, method="Youden's J")]
    parts, tested = by_repeat(out_of_fold), [] if test is None else by_repeat(test)
    for threshold in sorted({*SWEPT_THRESHOLDS, point}):
        found += _at(parts, threshold, positive, subject, SWEEP)
    for threshold in (DEFAULT_THRESHOLD, point) if tested else ():
        found += _at(tested, threshold, positive, subject, OPERATING)
    return [e.model_copy(update={"run_id": run_id}) for e in found]


def _at(parts: Sequence[pd.DataFrame], threshold: float, positive: str, subject: str, on: str) -> list[Estimate]:
    """The rates of the positive class, and those of all classes, at one threshold. parts: the repeats."""
    classes, _, labels = arrays(parts[0])
    predicted = np.stack([_predicted_at(part, threshold, positive) for part in parts])
    found = predicted_rates(labels, predicted, classes, patients_of(parts[0]), subject, on)
    wanted = [e for e in found if e.metric in COLUMNS and e.of_class in (None, positive)]
    return [e.model_copy(update={"at": threshold}) for e in wanted]


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
