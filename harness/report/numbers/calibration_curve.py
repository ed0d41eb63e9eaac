"""The smooth calibration curve of the positive class, as estimates."""

import numpy as np
import pandas as pd

from harness.report.numbers.estimates import patients_of
from harness.report.numbers.records import Estimate
from harness.stats.smooth_calibration import smooth_curve

SMOOTH = "smooth calibration, "  # before the name of the images, in `Estimate.on`
OBSERVED = "observed share"  # of the positive class, at a predicted probability
METHOD = "logistic regression on a restricted cubic spline of the log-odds; percentile bootstrap"


def curve_estimates(frame: pd.DataFrame, positive: str, subject: str, on: str) -> list[Estimate]:
    """The curve on these images, a number for each predicted probability as `at`; empty where there is none.

    Of several repeats the rows of all of them make one curve; the band resamples patients with all their rows.
    """
    probabilities = frame[f"prob_{positive}"].to_numpy(np.float64)
    curve = smooth_curve(probabilities, (frame["label"] == positive).to_numpy(), patients_of(frame))
    if curve is None:
        return []
    found = Estimate(subject=subject, on=SMOOTH + on, metric=OBSERVED, of_class=positive, value=0.0, method=METHOD)
    return [
        found.model_copy(
            update={"at": at, "value": value}
            | ({"bootstrap_low": low, "bootstrap_high": high} if np.isfinite(low) else {})
        )
        for at, value, low, high in zip(
            *(ends.tolist() for ends in (curve.at, curve.value, curve.low, curve.high)), strict=True
        )
    ]
