"""Accuracy against confidence, in bins of equal mass."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.numbers.estimates import over_patients, over_repeats, patients_of, rate
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.stats.arrays import arrays
from harness.stats.metrics import equal_mass_bins

RELIABILITY = "reliability, "  # before the name of the images, in `Estimate.on`


def reliability_estimates(frame: pd.DataFrame, subject: str, on: str, run_id: str | None) -> list[Estimate]:
    """The accuracy of each bin with its interval, at the bin's mean confidence in the predicted class.

    With several repeats, each has its own bins; the first bins are averaged, the second ones, and so on.
    """
    parts = [_Bins(part) for part in by_repeat(frame)]
    found = over_repeats([[*bins.estimates(subject, RELIABILITY + on)] for bins in parts])
    right, patients = np.stack([bins.right for bins in parts]), parts[0].patients
    among = (np.stack([bins.among(number) for bins in parts]) for number in range(len(found)))
    over = [over_patients(e, right, of_bin, patients) for e, of_bin in zip(found, among, strict=True)]
    return [e.model_copy(update={"run_id": run_id}) for e in over]


class _Bins:
    """The bins of one repeat. right: [n] whether each image is classified correctly."""

    def __init__(self, frame: pd.DataFrame) -> None:
        _, probabilities, labels = arrays(frame)
        self.patients, self._confidence = patients_of(frame), probabilities.max(axis=1)
        self.right: NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
        self._rows: Sequence[NDArray[np.int64]] = equal_mass_bins(self._confidence)

    def estimates(self, subject: str, on: str) -> Iterator[Estimate]:
        """The accuracy of each bin."""
        for number, rows in enumerate(self._rows, start=1):
            e = rate(subject, on, f"accuracy of bin {number}", int(self.right[rows].sum()), len(rows))
            yield e.model_copy(update={"at": float(self._confidence[rows].mean())})

    def among(self, number: int) -> NDArray[np.bool_]:
        """Whether each image is in this bin, [n]."""
        return np.isin(np.arange(len(self.right)), self._rows[number])
