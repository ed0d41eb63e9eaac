"""The cluster bootstrap: intervals that resample patients instead of images, as images of one patient are alike."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.stats import CONFIDENCE_LEVEL, ROUNDING, UPPER_END
from harness.stats.paired import Test
from harness.stats.proportions import Interval

RESAMPLES = 2000
RESAMPLES_AT_ONCE = 100
Weights = NDArray[np.float64]  # [..., n] how often each image stands in a resample
Values = NDArray[np.float64]  # [...]
Statistic = Callable[[Weights], Values]


def cluster_bootstrap(
    clusters: NDArray[np.int64],
    statistics: Sequence[Statistic],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """The percentile interval of each statistic when whole clusters are drawn with replacement.

    After Davison & Hinkley 1997, Bootstrap Methods, section 3.8.
    clusters: [n], the patient of every image. statistics: functions of the weight of every image; resamples in which
    one is undefined (nan) are left out. Where all resamples agree (all predictions correct, one patient) the interval
    is (nan, nan): the bootstrap cannot estimate the spread.
    """
    return percentile_intervals(resampled(clusters, statistics, resamples, seed))


def resampled(
    clusters: NDArray[np.int64], statistics: Sequence[Statistic], resamples: int = RESAMPLES, seed: int = 0
) -> Values:
    """The values [resamples, statistics] when whole clusters are drawn with replacement; all of the same resamples."""
    return resampled_curve(clusters, lambda w: np.stack([of(w) for of in statistics], axis=-1), resamples, seed)


def resampled_curve(clusters: NDArray[np.int64], curve: Statistic, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """The values [resamples, points] of a function of weights that gives several numbers of each resample."""
    _, members = np.unique(clusters, return_inverse=True)
    count = int(members.max()) + 1
    rng = np.random.default_rng(seed)
    blocks = []
    for first in range(0, resamples, RESAMPLES_AT_ONCE):
        size = min(RESAMPLES_AT_ONCE, resamples - first)
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        blocks.append(curve(times[:, members].astype(np.float64)))
    return np.concatenate(blocks)


def percentile_intervals(values: Values) -> list[Interval]:
    """The percentile interval of each column of resampled values; (nan, nan) where all of them agree."""
    low, high = np.nanquantile(values, [(1 - CONFIDENCE_LEVEL) / 2, UPPER_END], axis=0)
    known = high - low > ROUNDING
    ends = (np.where(known, end, np.nan).tolist() for end in (low, high))
    return list(zip(*ends, strict=True))


def bootstrap_test(difference: float, values: Values) -> Test:
    """The test that a difference is 0, from its resampled values: their percentile interval, and p by a normal error.

    After Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 12 and 13. The share of resamples beyond 0
    would be no smaller than 1 / resamples, too coarse for Holm's correction of many tests.
    """
    from scipy.special import ndtr

    ((low, high),) = percentile_intervals(values[:, None])
    error = float(np.nanstd(values, ddof=1))
    if not np.isfinite(low):
        return Test(difference, -np.inf, np.inf, 1.0)
    return Test(difference, low, high, float(2 * ndtr(-abs(difference) / error)))


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The statistic `mean of these`, all on the same resample."""
    return lambda weights: np.stack([statistic(weights) for statistic in statistics], axis=-1).mean(axis=-1)


def known_mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The statistic `mean of those of these that are defined`, all on the same resample."""

    def mean(weights: Weights) -> Values:
        values = np.stack([statistic(weights) for statistic in statistics], axis=-1)
        known = np.isfinite(values)
        return _quotient(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))

    return mean


def ratio(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Statistic:
    """The statistic `share of hits among these images`; nan where a resample has none of them."""
    return ratio_of_sums((hits & among).astype(np.float64), among.astype(np.float64))


def ratio_of_sums(parts: NDArray[np.float64], wholes: NDArray[np.float64]) -> Statistic:
    """The statistic `sum of these parts by the sum of these wholes`; nan where a resample has none of the latter."""
    return lambda weights: _quotient(weights @ parts, weights @ wholes)


def average(numbers: NDArray[np.float64]) -> Statistic:
    """The statistic `mean of these numbers`; nan where a resample has none of the images."""
    return lambda weights: _quotient(weights @ numbers, weights.sum(axis=-1))


def within(rows: NDArray[np.int64], statistic: Statistic) -> Statistic:
    """The statistic of these rows alone, which it was made for."""
    return lambda weights: statistic(weights[..., rows])


def area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Statistic:
    """The statistic `area under the ROC curve`; ties count half."""
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)

    def auc(weights: Weights) -> Values:
        ordered = weights[..., order]
        hits = np.add.reduceat(ordered * positive[order], starts, axis=-1)
        misses = np.add.reduceat(ordered * ~positive[order], starts, axis=-1)
        below = np.cumsum(misses, axis=-1) - misses / 2
        return _quotient((hits * below).sum(axis=-1), hits.sum(axis=-1) * misses.sum(axis=-1))

    return auc


def average_precision(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Statistic:
    """The statistic `average precision`, the area under the precision-recall curve; ties are predicted together."""
    order = np.argsort(-scores, kind="stable")
    _, starts = np.unique(-scores[order], return_index=True)

    def precision(weights: Weights) -> Values:
        ordered = weights[..., order]
        hits = np.add.reduceat(ordered * positive[order], starts, axis=-1)
        predicted = np.cumsum(np.add.reduceat(ordered, starts, axis=-1), axis=-1)
        each = np.divide(np.cumsum(hits, axis=-1), predicted, out=np.zeros_like(predicted), where=predicted > 0)
        return _quotient((hits * each).sum(axis=-1), hits.sum(axis=-1))

    return precision


def _quotient(part: Values, whole: Values) -> Values:
    """The quotient of two arrays; nan where the divisor is zero."""
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
