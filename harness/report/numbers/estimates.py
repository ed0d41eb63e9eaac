"""Estimates with their intervals, from a confusion matrix or from predictions."""

from collections.abc import Sequence
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from harness.report.numbers.records import Estimate
from harness.stats.metrics import matrix_scores, rate_counts
from harness.stats.proportions import wilson

WILSON_OF_MEAN = "Wilson, of the mean rate"  # how the method of such an interval begins
Matrix = NDArray[np.int64]  # [true, predicted]


def rate(subject: str, on: str, metric: str, hits: int, n: int, of_class: str | None = None) -> Estimate:
    """The estimate k / n with Wilson's interval; 0 where nothing was counted."""
    low, high = wilson(hits, n)
    value = hits / n if n else 0.0
    return Estimate(
        subject=subject, on=on, metric=metric, of_class=of_class, value=value,
        hits=hits, n=n, low=low, high=high, method="Wilson",
    )  # fmt: skip


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
