"""Paired comparisons of two scenarios on the same folds or the same images, and the correction for many of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats import CONFIDENCE_LEVEL, ROUNDING, UPPER_END


@dataclass(frozen=True)
class Test:
    """The estimate of a difference, its confidence interval and the two-sided p value of no difference.

    folds: the number of differences that a corrected resampled t-test is of; None of any other test.
    """

    difference: float
    low: float
    high: float
    p: float
    folds: int | None = None

    def adjusted(self, comparisons: int) -> tuple[float, float]:
        """The interval of a corrected resampled t-test among so many comparisons, by Bonferroni's inequality.

        Together all of them hold with probability CONFIDENCE_LEVEL. Infinite where the test has no interval.
        """
        if self.folds is None or not np.isfinite(self.high):
            return -np.inf, np.inf
        from scipy.special import stdtrit

        freedom = self.folds - 1
        wider = stdtrit(freedom, 1 - (1 - CONFIDENCE_LEVEL) / 2 / comparisons) / stdtrit(freedom, UPPER_END)
        half = float(wider) * (self.high - self.difference)
        return self.difference - half, self.difference + half


def corrected_t(differences: Sequence[float], val_to_train: float, step: float = 0.0) -> Test:
    """The corrected resampled t-test over folds (Nadeau & Bengio 2003, Machine Learning 52:239, section 4).

    The folds' training sets overlap, so the variance of the mean is (1/J + n_val/n_train) s^2 and not s^2/J.
    differences: one for each of the J folds. val_to_train: n_val / n_train. step: the smallest possible change of the
    metric in one fold, 1 / n_val for an accuracy; 0 for a continuous metric.

    Differences that agree to within one step do not show their spread, on which the test depends: with few folds and
    images, those of equal scenarios often agree by chance. So where s is less than step / sqrt(J), the spread of J
    differences of which one is a step away from the others, p is 1 and the interval is infinite.
    """
    values = np.asarray(differences, dtype=float)
    mean, count = float(values.mean()), len(values)
    spread = float(values.std(ddof=1)) if count > 1 else 0.0
    if spread < max(step / np.sqrt(count) * (1 - ROUNDING), ROUNDING):
        return Test(mean, -np.inf, np.inf, 1.0)
    from scipy.special import stdtr, stdtrit

    error = spread * float(np.sqrt(1 / count + val_to_train))
    half = float(stdtrit(count - 1, UPPER_END)) * error
    return Test(mean, mean - half, mean + half, float(2 * stdtr(count - 1, -abs(mean) / error)), count)


def mcnemar(only_first: int, only_second: int) -> float:
    """The p value of the exact McNemar test; only_first: the number of images that only the first model got right."""
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class McNemarRange:
    """The smallest and largest discordance that class totals allow, and the range of p over all in between."""

    fewest: tuple[int, int]  # images that only the first, and only the second model got right
    most: tuple[int, int]
    p_low: float
    p_high: float


def mcnemar_range(first: Mapping[str, int], second: Mapping[str, int], totals: Mapping[str, int]) -> McNemarRange:
    """The range of the exact McNemar test of two models for which only the correct images per class are known.

    In a class of n images, of which the models got a and b right, both got max(0, a + b - n) to min(a, b) right.
    """
    fewest, most = [0, 0], [0, 0]
    for name, n in totals.items():
        a, b = first[name], second[name]
        for bound, both in ((fewest, min(a, b)), (most, max(0, a + b - n))):
            bound[0] += a - both
            bound[1] += b - both
    extra = range(most[0] - fewest[0] + 1)  # every step in between is possible, by one image that both got right
    values = [mcnemar(fewest[0] + more, fewest[1] + more) for more in extra]
    return McNemarRange((fewest[0], fewest[1]), (most[0], most[1]), min(values), max(values))


def holm(ps: Sequence[float], family: int | None = None) -> list[float]:
    """The p values adjusted for multiple comparisons (Holm 1979), in the order given.

    family: the number of comparisons that they were chosen from, where that is more: those not given may have smaller
    p values, so that these are adjusted by no less than among all of them.
    """
    order, family = np.argsort(ps, kind="stable"), family or len(ps)
    raised = np.asarray(ps, dtype=float)[order] * (family - np.arange(len(ps)))
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    found: list[float] = adjusted.tolist()
    return found
