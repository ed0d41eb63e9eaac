"""The metrics of classification, from probabilities alone."""

import math

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]  # [n, classes]
Labels = NDArray[np.int64]  # [n]
ECE_BINS = 10


def classification_metrics(probabilities: Probabilities, labels: Labels, positive: int | None) -> dict[str, float]:
    """The metrics by name, without a prefix.

    With a `positive` class precision, recall, F1, specificity, ROC and PR AUC are those of that class; without one they
    are the mean over the classes. Undefined values (a class that is never predicted) count as 0.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(probabilities, labels)
    rates = _rates(matrix)
    chosen = list(range(probabilities.shape[1])) if positive is None else [positive]
    roc, pr = np.mean([curve_areas(labels == c, probabilities[:, c]) for c in chosen], axis=0)
    return {
        "loss": log_loss(probabilities, labels),
        "accuracy": float((predicted == labels).mean()),
        **{name: float(values[chosen].mean()) for name, values in rates.items()},
        "balanced_accuracy": float(rates["recall"].mean()),
        "mcc": _mcc(matrix),
        "roc_auc": float(roc),
        "pr_auc": float(pr),
        "brier": brier(probabilities, labels, positive),
        "ece": expected_calibration_error(probabilities, labels),
    }


def _mcc(matrix: NDArray[np.int64]) -> float:
    """Matthews' correlation coefficient of a confusion matrix (Gorodkin 2004); 0 where only one class occurs."""
    predicted, true, total = matrix.sum(axis=0), matrix.sum(axis=1), int(matrix.sum())
    spread = [float(total**2 - side @ side) for side in (predicted, true)]
    if not all(spread):
        return 0.0
    return float(np.trace(matrix) * total - predicted @ true) / math.sqrt(spread[0] * spread[1])


def log_loss(probabilities: Probabilities, labels: Labels) -> float:
    """The mean negative log-probability of the true class; probabilities are clipped at 1e-15."""
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(true, 1e-15, 1)).mean())


def brier(probabilities: Probabilities, labels: Labels, positive: int | None) -> float:
    """The mean squared error of the probabilities: of the positive class, else summed over the classes (Brier 1950)."""
    target = np.eye(probabilities.shape[1])[labels]
    error = (probabilities - target) ** 2
    return float((error.sum(axis=1) if positive is None else error[:, positive]).mean())


def expected_calibration_error(probabilities: Probabilities, labels: Labels, bins: int = ECE_BINS) -> float:
    """|accuracy - confidence| of the predicted class, averaged over bins of equal mass (Nixon et al. 2019)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    parts = equal_mass_bins(confidence, bins)
    gaps = [len(part) * abs(correct[part].mean() - confidence[part].mean()) for part in parts]
    return float(sum(gaps) / max(1, len(labels)))


def equal_mass_bins(confidence: NDArray[np.float64], bins: int = ECE_BINS) -> list[Labels]:
    """The rows of each bin, in the order of confidence."""
    order = np.argsort(confidence, kind="stable")
    return [part for part in np.array_split(order, bins) if len(part)]


def confusion_matrix(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """The confusion matrix [true class, predicted class] of all classes."""
    classes = probabilities.shape[1]
    cells = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def rate_counts(matrix: NDArray[np.int64]) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The numerator and denominator of precision, recall, F1 and specificity of every class; each [classes]."""
    hits = np.diag(matrix)
    predicted, true, total = matrix.sum(axis=0), matrix.sum(axis=1), matrix.sum()
    return {
        "precision": (hits, predicted),
        "recall": (hits, true),
        "f1": (2 * hits, predicted + true),
        "specificity": (total - predicted - true + hits, total - true),
    }


def _rates(matrix: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Precision, recall, F1 and specificity of every class; 0 where the denominator is 0."""
    return {
        name: np.divide(hits, n, out=np.zeros(len(matrix)), where=n > 0)
        for name, (hits, n) in rate_counts(matrix).items()
    }


def matrix_scores(matrix: NDArray[np.int64]) -> dict[str, float]:
    """Balanced accuracy and Matthews' correlation of a confusion matrix [true, predicted]."""
    return {"balanced_accuracy": float(_rates(matrix)["recall"].mean()), "mcc": _mcc(matrix)}


def per_class_table(probabilities: Probabilities, labels: Labels) -> dict[str, NDArray[np.float64]]:
    """Precision, recall, F1, specificity and support of every class, each [classes]."""
    matrix = confusion_matrix(probabilities, labels)
    return {**_rates(matrix), "support": matrix.sum(axis=1).astype(float)}


def curve_areas(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    """The area under the ROC curve, and the average precision; both 0 where only one of the two classes occurs.

    Both equal those of scikit-learn, from one sort of the scores: they are computed after every epoch.
    """
    if positive.all() or not positive.any():
        return 0.0, 0.0
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)  # of the images with one score
    true = np.cumsum(positive[order])[last]
    false = last + 1 - true
    hits, misses = np.diff(true, prepend=0), np.diff(false, prepend=0)
    roc = float((misses * (true - hits / 2)).sum()) / float(true[-1] * false[-1])
    return roc, float((hits * (true / (last + 1))).sum()) / float(true[-1])
