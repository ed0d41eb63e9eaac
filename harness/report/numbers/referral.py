"""What referring the least sure images leaves: the rates of the others on the test set."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.numbers.estimates import over_patients, patients_of, rate
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.report.numbers.threshold_numbers import OperatingPoint

REFERRED = "test set, least sure referred"  # the `on` of these estimates
SHARES = (0.0, 0.05, 0.1, 0.2)  # of the out-of-fold predictions that are referred
DISTANCE = "distance"  # from the operating point, below which an image is referred
SHARE_REFERRED = "referred"
RATES = ("accuracy", "recall", "specificity")  # of the images that are not referred


def referral_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame, point: OperatingPoint, subject: str
) -> list[Estimate]:
    """For each share, as `at`: the distance, the share of the test set that is referred, and the rates of the rest.

    An image is referred where its probability is nearer to the operating point than a distance: that below which this
    share of the out-of-fold predictions lies, of all repeats together. A rate of no image is left out.
    """
    distances = np.sort(np.concatenate([_distances(part, point) for part in by_repeat(out_of_fold)]))
    found: list[Estimate] = []
    for share in SHARES:
        distance = float(distances[int(share * len(distances))]) if share else 0.0
        kept = _distances(test, point) >= distance
        apart = Estimate(subject=subject, on=REFERRED, metric=DISTANCE, of_class=point.positive, value=distance)
        of_share = [apart, *(e for e in _rates(test, kept, point, subject) if e.n)]
        found += [e.model_copy(update={"at": share}) for e in of_share]
    return found


def _distances(frame: pd.DataFrame, point: OperatingPoint) -> NDArray[np.float64]:
    """How far the probability of each image is from the operating point, [n]."""
    return np.abs(frame[f"prob_{point.positive}"].to_numpy(np.float64) - point.threshold)


def _rates(test: pd.DataFrame, kept: NDArray[np.bool_], point: OperatingPoint, subject: str) -> Iterator[Estimate]:
    """The share that is referred, and the rates of the images that are kept, [n]."""
    is_positive = (test["label"] == point.positive).to_numpy()
    predicted = test[f"prob_{point.positive}"].to_numpy(np.float64) >= point.threshold
    counted = {
        SHARE_REFERRED: (~kept, np.ones_like(kept)),
        "accuracy": (predicted == is_positive, kept),
        "recall": (predicted, is_positive & kept),
        "specificity": (~predicted, ~is_positive & kept),
    }
    for metric, (hits, among) in counted.items():
        of_class = point.positive if metric in ("recall", "specificity") else None
        e = rate(subject, REFERRED, metric, int((hits & among).sum()), int(among.sum()), of_class)
        yield over_patients(e, hits[None], among[None], patients_of(test))
