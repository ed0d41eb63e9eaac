"""The metrics of predictions as statistics of the bootstrap: functions of how often each image stands in a resample."""

import numpy as np
from numpy.typing import NDArray

from harness.stats.bootstrap import Statistic, area, average, mean_of, ratio, ratio_of_sums
from harness.stats.metrics import Labels, Probabilities, brier, log_loss


def weighted_metric(
    metric: str, probabilities: Probabilities, labels: Labels, positive: int | None
) -> Statistic | None:
    """The metric of this name, as `classification_metrics` defines it; None where it is none of these.

    It is nan, and not 0, where a resample has no image of those that are counted.
    """
    predicted, classes = probabilities.argmax(axis=1), range(probabilities.shape[1])
    chosen = classes if positive is None else [positive]
    if metric == "accuracy":
        return ratio(predicted == labels, np.ones(len(labels), dtype=bool))
    if metric == "balanced_accuracy":
        return mean_of([_rate("recall", predicted == c, labels == c) for c in classes])
    if metric in ("precision", "recall", "specificity", "f1"):
        return mean_of([_rate(metric, predicted == c, labels == c) for c in chosen])
    if metric == "roc_auc":
        return mean_of([area(probabilities[:, c], labels == c) for c in chosen])
    rows = [slice(row, row + 1) for row in range(len(labels))]
    if metric == "loss":
        return average(np.array([log_loss(probabilities[row], labels[row]) for row in rows]))
    if metric == "brier":
        return average(np.array([brier(probabilities[row], labels[row], positive) for row in rows]))
    return None


def _rate(metric: str, called: NDArray[np.bool_], true: NDArray[np.bool_]) -> Statistic:
    """A rate of one class. called, true: [n] whether an image is predicted to be of it, and is of it."""
    if metric == "f1":
        each = called.astype(np.float64) + true
        return ratio_of_sums(np.where(called & true, each, 0.0), each)
    if metric == "specificity":
        return ratio(~called, ~true)
    return ratio(called & true, true if metric == "recall" else called)
