"""Accuracy against confidence, in bins of equal mass."""

import pandas as pd

from harness.report.numbers.estimates import over_repeats, rate
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.stats.arrays import arrays
from harness.stats.metrics import equal_mass_bins

RELIABILITY = "reliability, "  # before the name of the images, in `Estimate.on`


def reliability_estimates(frame: pd.DataFrame, subject: str, on: str, run_id: str | None) -> list[Estimate]:
    """The accuracy of each bin with Wilson's interval, at the bin's mean confidence in the predicted class.

    With several repeats, each has its own bins; the first bins are averaged, the second ones, and so on.
    """
    return over_repeats([_bins(part, subject, on, run_id) for part in by_repeat(frame)])


def _bins(frame: pd.DataFrame, subject: str, on: str, run_id: str | None) -> list[Estimate]:
    _, probabilities, labels = arrays(frame)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    found = []
    for number, part in enumerate(equal_mass_bins(confidence), start=1):
        e = rate(subject, RELIABILITY + on, f"accuracy of bin {number}", int(correct[part].sum()), len(part))
        found.append(e.model_copy(update={"at": float(confidence[part].mean()), "run_id": run_id}))
    return found
