"""Calibration intercept, calibration slope and O/E of the positive class, with intervals."""

import numpy as np
import pandas as pd

from harness.report.numbers.estimates import OVER_PATIENTS, patients_of, several_images
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.stats.calibration import recalibration

RECALIBRATED = "calibration, "  # before the name of the images, in `Estimate.on`


def recalibration_estimates(frame: pd.DataFrame, positive: str, subject: str, on: str) -> list[Estimate]:
    """The numbers of the probability of the positive class on these images; the means over the repeats."""
    parts = by_repeat(frame)
    patients = patients_of(parts[0])
    probabilities = np.stack([part[f"prob_{positive}"].to_numpy(np.float64) for part in parts])
    found = recalibration(probabilities, (parts[0]["label"] == positive).to_numpy(), patients)
    method = f"sandwich, Student's t{OVER_PATIENTS if several_images(patients) else ''}"
    return [
        Estimate(
            subject=subject, on=RECALIBRATED + on, metric=name, of_class=positive, value=number.value, low=number.low,
            high=number.high, method=method, n=len(patients), repeats=len(parts),
        )
        for name, number in found.items()
    ]  # fmt: skip
