"""The fall of the accuracy from cross-validation to the test set, step by step."""

from statistics import mean

import numpy as np
import pandas as pd

from harness.report.numbers.comparisons import right
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate

GAP = "gap"
STEPS = ("cross-validation", "at the test set's class shares", "test, at its best threshold", "test")


def gap_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame, positive: str | None, subject: str, run_id: str | None
) -> list[Estimate]:
    """The accuracies from cross-validation to test, a step for each cause; their differences add up to the gap.

    The best threshold is found with the test labels: it is used in this analysis alone and tunes nothing.
    Empty without a positive class. Out of fold, each value is the mean over the repeats; on the test set over refits.
    """
    if positive is None:
        return []
    recalls = _recalls(out_of_fold)
    shares = test["label"].value_counts(normalize=True)
    reweighted = float(sum(shares[name] * recalls[name] for name in shares.index))
    best = mean(best_accuracy(part, positive) for part in by_repeat(test))
    values = (_accuracy(out_of_fold), reweighted, best, _accuracy(test))
    return [
        Estimate(subject=subject, on=GAP, metric=step, value=value, run_id=run_id)
        for step, value in zip(STEPS, values, strict=True)
    ]


def _accuracy(frame: pd.DataFrame) -> float:
    return mean(float(right(part).mean()) for part in by_repeat(frame))


def _recalls(frame: pd.DataFrame) -> dict[str, float]:
    parts = [(right(part), part["label"].to_numpy()) for part in by_repeat(frame)]
    return {name: mean(float(hits[of == name].mean()) for hits, of in parts) for name in frame["label"].unique()}


def best_accuracy(frame: pd.DataFrame, positive: str) -> float:
    """The accuracy at the threshold that is best for these images."""
    order = frame.sort_values(f"prob_{positive}", kind="stable")
    is_positive = (order["label"] == positive).to_numpy()
    scores = order[f"prob_{positive}"].to_numpy(np.float64)
    # all images from a cut on are predicted positive; a cut cannot separate equal scores
    right = np.concatenate([[0], np.cumsum(~is_positive)]) + np.concatenate([np.cumsum(is_positive[::-1])[::-1], [0]])
    cuts = np.concatenate([[True], scores[1:] != scores[:-1], [True]])
    return float(right[cuts].max() / len(frame))
