"""The net benefit of acting on predictions, by threshold: decision curve analysis.

Vickers & Elkin 2006, Medical Decision Making 26:565. At a threshold t a positive that is found counts 1, and a negative
that is treated costs t / (1 - t): who acts from a probability t on holds so many needless treatments for as bad as one
that was missed.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.report.numbers.threshold_numbers import SWEPT_THRESHOLDS
from harness.stats.arrays import arrays
from harness.stats.bootstrap import average, cluster_bootstrap, mean_of

CURVE = "decision curve, "  # before the name of the images, in `Estimate.on`
NET_BENEFIT, OF_ALL = "net benefit", "net benefit of treating all"
METHOD = "Vickers & Elkin 2006"


def decision_estimates(frame: pd.DataFrame, positive: str, subject: str, on: str) -> list[Estimate]:
    """The net benefit at each threshold with its interval over patients, and that of treating all; of none it is 0.

    Empty where there are not two classes.
    """
    parts = by_repeat(frame)
    classes, _, _ = arrays(parts[0])
    if positive is None or len(classes) != 2:
        return []
    curves = [[_benefits(part, positive, at) for part in parts] for at in SWEPT_THRESHOLDS]
    clusters = pd.factorize(parts[0]["patient"])[0]
    bounds = cluster_bootstrap(clusters, [mean_of([average(each) for each in curve]) for curve in curves])
    found, share = [], float((parts[0]["label"] == positive).mean())
    for at, curve, (low, high) in zip(SWEPT_THRESHOLDS, curves, bounds, strict=True):
        by_model = Estimate(
            subject=subject, on=CURVE + on, metric=NET_BENEFIT, of_class=positive, value=float(np.mean(curve)), at=at,
            n=len(clusters), method=METHOD, repeats=len(parts),
        )  # fmt: skip
        known = {"bootstrap_low": low, "bootstrap_high": high} if np.isfinite(low) else {}
        found.append(by_model.model_copy(update=known))
        found.append(by_model.model_copy(update={"metric": OF_ALL, "value": of_all(share, at)}))
    return found


def of_all(prevalence: float, at: float) -> float:
    """The net benefit of treating all."""
    return prevalence - (1 - prevalence) * at / (1 - at)


def _benefits(frame: pd.DataFrame, positive: str, at: float) -> NDArray[np.float64]:
    """What each image adds, [n], where it is treated from the probability `at` on."""
    treated = frame[f"prob_{positive}"].to_numpy(np.float64) >= at
    return np.where(frame["label"] == positive, 1.0, -at / (1 - at)) * treated
