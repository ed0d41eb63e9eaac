"""Estimates with their intervals, from a confusion matrix or from predictions."""

from collections.abc import Sequence
from statistics import mean

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.numbers.records import Estimate
from harness.stats.arrays import arrays
from harness.stats.clusters import Clusters
from harness.stats.metrics import matrix_scores, rate_counts
from harness.stats.proportions import clustered_wilson, wilson

WILSON_OF_MEAN = "Wilson, of the mean rate"  # how the method of such an interval begins
OVER_PATIENTS = ", over patients"  # how the method of an interval ends that is found from whole patients
Matrix = NDArray[np.int64]  # [true, predicted]
Classes = NDArray[np.int64]  # [n] the class of every image, by number
Flags = NDArray[np.bool_]  # [repeats, n]


def rate(subject: str, on: str, metric: str, hits: int, n: int, of_class: str | None = None) -> Estimate:
    """The estimate k / n with Wilson's interval; 0 where nothing was counted."""
    low, high = wilson(hits, n)
    value = hits / n if n else 0.0
    return Estimate(
        subject=subject, on=on, metric=metric, of_class=of_class, value=value,
        hits=hits, n=n, low=low, high=high, method="Wilson",
    )  # fmt: skip


def rates_of(parts: Sequence[pd.DataFrame], subject: str, on: str) -> list[Estimate]:
    """The estimates from predictions of the more probable class, those of rates with intervals over whole patients.

    parts: the repeats; with several, the means over them.
    """
    classes, _, labels = arrays(parts[0])
    predicted = np.stack([arrays(part)[1].argmax(axis=1) for part in parts])
    return predicted_rates(labels, predicted, classes, patients_of(parts[0]), subject, on)


def patients_of(frame: pd.DataFrame) -> Clusters:
    """The patient of every row of a table of predictions, [n]."""
    return pd.factorize(frame["patient"])[0]


def predicted_rates(
    labels: Classes, predicted: Classes, classes: list[str], patients: Clusters, subject: str, on: str
) -> list[Estimate]:
    """The estimates from predicted classes [repeats, n] of images of these classes [n] and patients [n]."""
    matrices = [tallied(labels, each, len(classes)) for each in predicted]
    found = over_repeats([from_confusion(matrix, classes, subject, on) for matrix in matrices])
    return [
        e
        if e.low is None
        else over_patients(e, *_counted(e.metric, labels, predicted, _index(classes, e.of_class)), patients)
        for e in found
    ]


def _index(classes: list[str], name: str | None) -> int:
    return -1 if name is None else classes.index(name)


def _counted(metric: str, labels: Classes, predicted: Classes, index: int) -> tuple[Flags, Flags]:
    """Which images are hits of a rate, and which are counted, [repeats, n] each. index: of the class it is about."""
    chosen, true = predicted == index, np.broadcast_to(labels == index, predicted.shape)
    if metric == "accuracy":
        return predicted == labels, np.ones(predicted.shape, dtype=bool)
    if metric == "specificity":
        return ~chosen, ~true
    return (true, chosen) if metric == "precision" else (chosen, true)


def tallied(labels: Classes, predicted: Classes, classes: int) -> Matrix:
    """The confusion matrix [true, predicted] of these classes of images [n]."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def over_patients(e: Estimate, hits: Flags, among: Flags, patients: Clusters) -> Estimate:
    """The estimate of a rate with its interval over whole patients; the same where each has one image.

    hits, among: [repeats, n]. patients: [n] the patient of every image.
    """
    if not several_images(patients):
        return e
    low, high = clustered_wilson(hits, among, patients)
    return e.model_copy(update={"low": low, "high": high, "method": f"{e.method}{OVER_PATIENTS}"})


def several_images(patients: Clusters) -> bool:
    """Whether a patient has more than one of these images [n]."""
    return len(np.unique(patients)) < len(patients)


def from_confusion(matrix: Matrix, classes: list[str], subject: str, on: str) -> list[Estimate]:
    """The estimates from a confusion matrix: rates with intervals, then the scores that are no simple rate."""
    found = [rate(subject, on, "accuracy", int(matrix.trace()), int(matrix.sum()))]
    counts = rate_counts(matrix)
    for index, name in enumerate(classes):
        for metric in ("precision", "recall", "specificity"):
            hits, n = counts[metric]
            found.append(rate(subject, on, metric, int(hits[index]), int(n[index]), name))
        hits, n = counts["f1"]  # 2 TP of predicted + true: images count twice, so no interval of a rate fits
        f1 = float(hits[index] / n[index]) if n[index] else 0.0
        found.append(Estimate(subject=subject, on=on, metric="f1", of_class=name, value=f1))
    scores = matrix_scores(matrix)
    return found + [Estimate(subject=subject, on=on, metric=name, value=value) for name, value in scores.items()]


def over_repeats(each: Sequence[Sequence[Estimate]]) -> list[Estimate]:
    """Average the estimates of the repeats, number by number; those of a single repeat are not changed."""
    return [_mean(same) if len(same) > 1 else same[0] for same in zip(*each, strict=True)]


def _mean(same: Sequence[Estimate]) -> Estimate:
    """The mean of one number over the repeats. Its n are the images of one repeat: repeats add no images."""
    value, at = mean(e.value for e in same), [e.at for e in same if e.at is not None]
    n = round(mean(e.n or 0 for e in same)) if same[0].n is not None else None
    found = same[0].model_copy(
        update={"value": value, "at": mean(at) if at else None, "hits": None, "n": n, "repeats": len(same)}
    )
    if same[0].low is not None and n is not None:
        low, high = wilson(value * n, n)
        return found.model_copy(
            update={"low": low, "high": high, "method": f"{WILSON_OF_MEAN} on the images of one repeat"}
        )
    return found
