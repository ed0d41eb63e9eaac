"""The metrics of predictions as statistics of the bootstrap: functions of how often each image stands in a resample."""

import numpy as np
from numpy.typing import NDArray

from harness.stats.bootstrap import (
    Statistic,
    Values,
    Weights,
    area,
    average,
    average_precision,
    mean_of,
    ratio,
    ratio_of_sums,
)
from harness.stats.metrics import ECE_BINS, Labels, Probabilities, brier, log_loss


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
    if metric == "pr_auc":
        return mean_of([average_precision(probabilities[:, c], labels == c) for c in chosen])
    if metric == "mcc":
        return _correlation(labels, predicted, len(classes))
    if metric == "ece":
        return _calibration_error(probabilities.max(axis=1), predicted == labels)
    rows = [slice(row, row + 1) for row in range(len(labels))]
    if metric == "loss":
        return average(np.array([log_loss(probabilities[row], labels[row]) for row in rows]))
    if metric == "brier":
        return average(np.array([brier(probabilities[row], labels[row], positive) for row in rows]))
    return None


def _correlation(labels: Labels, predicted: Labels, classes: int) -> Statistic:
    """Matthews' correlation coefficient; 0 where only one class occurs."""
    cells = np.eye(classes**2)[labels * classes + predicted]

    def correlation(weights: Weights) -> Values:
        matrix = (weights @ cells).reshape(*weights.shape[:-1], classes, classes)
        predicted, true, total = matrix.sum(axis=-2), matrix.sum(axis=-1), matrix.sum(axis=(-2, -1))
        spread = (total**2 - (predicted**2).sum(axis=-1)) * (total**2 - (true**2).sum(axis=-1))
        found = np.trace(matrix, axis1=-2, axis2=-1) * total - (predicted * true).sum(axis=-1)
        correlated: Values = np.divide(found, np.sqrt(spread), out=np.zeros_like(found), where=spread > 0)
        return np.where(total > 0, correlated, np.nan)

    return correlation


def _calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Statistic:
    """The expected calibration error of bins of equal mass, each image as often as it is drawn."""
    order = np.argsort(confidence, kind="stable")
    gaps = (correct - confidence)[order]

    def of_one(drawn: NDArray[np.float64]) -> float:
        total = int(drawn.sum())
        if not total:
            return np.nan
        sizes = np.full(ECE_BINS, total // ECE_BINS) + (np.arange(ECE_BINS) < total % ECE_BINS)
        edges = np.concatenate([[0], np.cumsum(sizes)])
        counted, summed = (np.concatenate([[0.0], np.cumsum(each)]) for each in (drawn, drawn * gaps))
        return float(np.abs(np.diff(np.interp(edges, counted, summed))).sum() / total)

    return lambda weights: np.array([of_one(drawn) for drawn in weights[..., order]])


def _rate(metric: str, predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> Statistic:
    """A rate of one class. predicted, true: [n] whether an image is predicted to be of it, and is of it."""
    if metric == "f1":
        each = predicted.astype(np.float64) + true
        return ratio_of_sums(np.where(predicted & true, each, 0.0), each)
    if metric == "specificity":
        return ratio(~predicted, ~true)
    return ratio(predicted & true, true if metric == "recall" else predicted)
