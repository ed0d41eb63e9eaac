"""What is measured in a group of images: each number with its statistic, and the patients that it is about."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.stats.area_within_folds import FoldScores, area_of_folds
from harness.stats.arrays import arrays
from harness.stats.bootstrap import Statistic, average, mean_of, ratio

AT_POINT = " at the operating point"  # after the name of a rate
CALIBRATION = "calibration in the large"
"""The mean predicted probability minus the share of the positive class; with several classes, the mean confidence in
the predicted class minus the accuracy. Van Calster et al. 2019, BMC Medicine 17:230. An ECE is not used: in small
groups its bins make it too large."""


@dataclass(frozen=True)
class Measure:
    """One number of a group in one repeat. patients: of the class that it is about, or of the smallest one.

    at: the threshold, where it is not that of the more probable class.
    """

    metric: str
    of_class: str | None
    statistic: Statistic
    among: NDArray[np.bool_]  # the images of a rate; of an area the positive ones
    patients: int
    found: NDArray[np.bool_] | None = None  # the hits of a rate
    folds: tuple[FoldScores, ...] = ()  # of an area
    of_what: str = ""
    at: float | None = None


def two_class_measures(frame: pd.DataFrame, positive: str, point: float | None = None) -> list[Measure]:
    """The measures of the positive class. point: the operating point; None: there is none."""
    classes, probabilities, labels = arrays(frame)
    index = classes.index(positive)
    is_positive, found = labels == index, probabilities.argmax(axis=1) == index
    scores, everything = probabilities[:, index], np.ones(len(labels), dtype=bool)
    ill, well, both = (frame["patient"][rows].nunique() for rows in (is_positive, ~is_positive, everything))
    folds = _folds(frame, scores, is_positive)
    at_point = [] if point is None else [
        _rate(f"recall{AT_POINT}", positive, scores >= point, is_positive, ill, f" with {positive}", point),
        _rate(f"specificity{AT_POINT}", positive, scores < point, ~is_positive, well, f" without {positive}", point),
    ]  # fmt: skip
    return [
        _rate("prevalence", positive, is_positive, everything, both),
        _rate("recall", positive, found, is_positive, ill, f" with {positive}"),
        _rate("specificity", positive, ~found, ~is_positive, well, f" without {positive}"),
        *at_point,
        Measure("roc_auc", positive, area_of_folds(folds, is_positive), is_positive, min(ill, well) if folds else 0,
                folds=folds, of_what=" of a class"),
        Measure(CALIBRATION, positive, average(scores - is_positive), everything, both),
    ]  # fmt: skip


def _folds(frame: pd.DataFrame, scores: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> tuple[FoldScores, ...]:
    """The scores of the folds that have images of both classes: each fold's model has a scale of its own."""
    folds = frame["fold"].to_numpy() if "fold" in frame else np.zeros(len(frame))
    each = (np.flatnonzero(folds == fold) for fold in np.unique(folds))
    return tuple(FoldScores(rows, scores[rows]) for rows in each if len(np.unique(is_positive[rows])) == 2)


def several_class_measures(frame: pd.DataFrame) -> list[Measure]:
    """The measures of all classes. The balanced accuracy is over the classes that occur, as in scikit-learn."""
    _, probabilities, labels = arrays(frame)
    right, everything = probabilities.argmax(axis=1) == labels, np.ones(len(labels), dtype=bool)
    within_class = [labels == index for index in np.unique(labels)]
    patients = [frame["patient"][rows].nunique() for rows in (everything, *within_class)]
    balanced = mean_of([ratio(right, rows) for rows in within_class])
    return [
        _rate("accuracy", None, right, everything, patients[0]),
        Measure("balanced_accuracy", None, balanced, everything, min(patients[1:]), of_what=" of a class"),
        Measure(CALIBRATION, None, average(probabilities.max(axis=1) - right), everything, patients[0]),
    ]


def _rate(
    metric: str, of_class: str | None, hits: NDArray[np.bool_], among: NDArray[np.bool_], patients: int, what: str = "",
    at: float | None = None,
) -> Measure:  # fmt: skip
    """The share of hits among these images."""
    return Measure(metric, of_class, ratio(hits, among), among, patients, hits & among, of_what=what, at=at)
