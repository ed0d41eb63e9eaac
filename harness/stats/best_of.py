"""The metric of the best of several scenarios, corrected for having been chosen by it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.bootstrap import Statistic, percentile_intervals, resampled
from harness.stats.proportions import Interval

BBC_RESAMPLES = 500


@dataclass(frozen=True)
class BestOf:
    """What the best of several scenarios is worth on other patients, with the interval of the same resamples.

    first: the share of the resamples in which each scenario is the best one. above: the intervals of the first one's
    metric minus that of each other, of the same resamples.
    """

    value: float
    low: float
    high: float
    first: list[float]
    above: tuple[Interval, ...] = ()


def best_of(clusters: NDArray[np.int64], statistics: Sequence[Statistic], maximize: bool, seed: int = 0) -> BestOf:
    """BBC-CV: the bootstrap bias corrected cross-validation of Tsamardinos et al. 2018 (Machine Learning 107:1895).

    Whole patients are drawn with replacement; the scenario that is best on those drawn is scored on the others, and
    the scores are averaged. Nothing is fitted again.
    clusters: [n] the patient of every image. statistics: the metric of each scenario's predictions out of fold.
    """
    both = [*statistics, *map(_of_the_others, statistics)]
    drawn, others = np.split(resampled(clusters, both, BBC_RESAMPLES, seed), 2, axis=1)
    sign = 1 if maximize else -1
    chosen = np.where(np.isnan(drawn), -np.inf, sign * drawn).argmax(axis=1)
    scores = others[np.arange(len(others)), chosen]
    ((low, high),) = percentile_intervals(scores[:, None])
    first = np.bincount(chosen, minlength=len(statistics)) / len(chosen)
    above = tuple(percentile_intervals(drawn[:, :1] - drawn[:, 1:])) if len(statistics) > 1 else ()
    return BestOf(float(np.nanmean(scores)), low, high, first.tolist(), above)


def _of_the_others(statistic: Statistic) -> Statistic:
    """The statistic of the images that are not in a resample, each once."""
    return lambda weights: statistic((weights == 0).astype(np.float64))
