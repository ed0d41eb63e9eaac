"""The cluster bootstrap: intervals that resample patients instead of images, as images of one patient are alike."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.stats import CONFIDENCE_LEVEL, ROUNDING
from harness.stats.proportions import Interval

RESAMPLES = 2000
Weights = NDArray[np.float64]  # [n], how often each image occurs in a resample
Statistic = Callable[[Weights], float]


def cluster_bootstrap(
    clusters: NDArray[np.int64],
    statistics: Sequence[Statistic],
    resamples: int = RESAMPLES,
    level: float = CONFIDENCE_LEVEL,
    seed: int = 0,
) -> list[Interval]:
    """The percentile interval of each statistic when whole clusters are drawn with replacement.

    After Davison & Hinkley 1997, Bootstrap Methods, section 3.8.
    clusters: [n], the patient of every image. statistics: functions of the weight of every image; resamples in which
    one is undefined (nan) are left out. Where all resamples agree (all predictions correct, one patient) the interval
    is (nan, nan): the bootstrap cannot estimate the spread.
    """
    _, members = np.unique(clusters, return_inverse=True)
    count = int(members.max()) + 1
    rng = np.random.default_rng(seed)
    values = np.empty((resamples, len(statistics)))
    for index in range(resamples):
        drawn = np.bincount(rng.integers(0, count, count), minlength=count)
        weights = drawn[members].astype(np.float64)
        values[index] = [statistic(weights) for statistic in statistics]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    known = high - low > ROUNDING
    ends = (np.where(known, end, np.nan).tolist() for end in (low, high))
    return list(zip(*ends, strict=True))


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of these statistics, all on the same resample."""
    if len(statistics) == 1:
        return statistics[0]
    return lambda weights: float(np.mean([statistic(weights) for statistic in statistics]))


def ratio(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Statistic:
    """The proportion of hits among these images; nan where a resample has none of them."""
    both, base = (hits & among).astype(np.float64), among.astype(np.float64)

    def share(weights: Weights) -> float:
        total = float(weights @ base)
        return float(weights @ both) / total if total else np.nan

    return share


def area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Statistic:
    """The area under the ROC curve; ties count half."""
    _, place = np.unique(scores, return_inverse=True)

    def auc(weights: Weights) -> float:
        hits = np.bincount(place, weights * positive)
        misses = np.bincount(place, weights * ~positive)
        pairs = float(hits.sum() * misses.sum())
        return float(hits @ (np.cumsum(misses) - misses / 2)) / pairs if pairs else np.nan

    return auc
