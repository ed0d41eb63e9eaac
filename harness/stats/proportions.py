"""Confidence intervals of proportions, and the difference of two proportions on different images."""

import math

from harness.stats import CONFIDENCE_LEVEL

Interval = tuple[float, float]


def wilson(hits: float, n: int, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Wilson's score interval of the proportion hits / n (Wilson 1927, JASA 22:209); (0, 1) for n = 0.

    hits: a count, or a mean of counts on the same n images.
    """
    if n == 0:
        return 0.0, 1.0
    from scipy.special import ndtri

    z, rate = float(ndtri(0.5 + level / 2)), hits / n
    width = 2 * (n + z**2)
    centre, half = (2 * n * rate + z**2) / width, z / width * math.sqrt(4 * n * rate * (1 - rate) + z**2)
    return 0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half


def newcombe(hits: tuple[int, int], n: tuple[int, int], level: float = CONFIDENCE_LEVEL) -> Interval:
    """Newcombe's hybrid score interval of hits[0] / n[0] - hits[1] / n[1] (1998, Stat Med 17:873, method 10)."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        hits[0], n[0], hits[1], n[1], method="newcomb", compare="diff", alpha=1 - level
    )
    return float(low), float(high)


def two_proportions(hits: tuple[int, int], n: tuple[int, int]) -> tuple[float, float]:
    """z and the two-sided p value of the test that two proportions are equal, with pooled variance."""
    if sum(hits) in (0, sum(n)):
        return 0.0, 1.0
    from statsmodels.stats.proportion import proportions_ztest

    z, p = proportions_ztest(hits, n)
    return float(z), float(p)
