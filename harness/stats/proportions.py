"""Confidence intervals of proportions, and the difference of two proportions on different images."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats import CONFIDENCE_LEVEL, UPPER_END
from harness.stats.clusters import Clusters, cluster_sums

Interval = tuple[float, float]


@dataclass(frozen=True)
class Bounded:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


def wilson(hits: float, n: float) -> Interval:
    """Wilson's score interval of the proportion hits / n (Wilson 1927, JASA 22:209); (0, 1) for n = 0.

    hits: a count, or a mean of counts on the same n images. n: a count, or an effective number of images.
    """
    if n == 0:
        return 0.0, 1.0
    from scipy.special import ndtri

    z, rate = float(ndtri(UPPER_END)), hits / n
    width = 2 * (n + z**2)
    centre, half = (2 * n * rate + z**2) / width, z / width * math.sqrt(4 * n * rate * (1 - rate) + z**2)
    return 0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half


def clustered_wilson(hits: NDArray[np.bool_], among: NDArray[np.bool_], clusters: Clusters) -> Interval:
    """Wilson's interval of the share of hits among some images, where the images of a patient are alike.

    On n over the design effect (Korn & Graubard 1998, Survey Methodology 24:193), which says how many images the
    patients are worth; with Student's t of the patients in place of that of the images. The design effect is at least
    1. Where all images are hits, or none is, nothing shows it: then each patient counts once. Where each image has a
    patient of its own it is Wilson's interval.
    hits, among: [repeats, n]; with several repeats, of the mean share on the images of one.
    """
    counts = np.maximum(among.sum(axis=1, keepdims=True), 1)
    rates, n = (hits & among).sum(axis=1, keepdims=True) / counts, round(float(among.sum(axis=1).mean()))
    value, counted = float(rates.mean()), among.any(axis=0)
    patients = len(np.unique(clusters[counted]))
    if patients == counted.sum():
        return wilson(value * n, n)
    weights, moves = (among / counts).mean(axis=0), (((hits & among) - rates * among) / counts).mean(axis=0)
    effective = _effective(value, n, cluster_sums(weights, clusters), cluster_sums(moves, clusters))
    return wilson(value * effective, effective)


def _effective(value: float, n: int, weights: NDArray[np.float64], moves: NDArray[np.float64]) -> float:
    """How many independent images a share of n images is worth.

    weights, moves: [patients] the part of the images that are a patient's, and by how much they move the share.
    The variances are of deviations from what the other patients say (CR3; Bell & McCaffrey 2002, Survey Methodology
    28:169), without which few patients seem to vary less than they do.
    """
    from scipy.special import stdtrit

    patients = min(n, int((weights > 0).sum()))
    if patients < 2 or value in (0, 1):
        return patients
    variance = float(((moves / (1 - weights)) ** 2).sum())
    of_images = value * (1 - value) * n / (n - 1) ** 2
    few = float(stdtrit(n - 1, UPPER_END) / stdtrit(patients - 1, UPPER_END)) ** 2
    return n / max(1.0, variance / of_images) * few


def newcombe(hits: tuple[int, int], n: tuple[int, int]) -> Interval:
    """Newcombe's hybrid score interval of hits[0] / n[0] - hits[1] / n[1] (1998, Stat Med 17:873, method 10)."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        hits[0], n[0], hits[1], n[1], method="newcomb", compare="diff", alpha=1 - CONFIDENCE_LEVEL
    )
    return float(low), float(high)


def difference_of(first: Bounded, second: Bounded) -> Interval:
    """The interval of a difference of independent numbers, from both intervals (Zou & Donner 2008, Stat Med 27:1693).

    Of two proportions with Wilson's intervals it is Newcombe's.
    """
    difference = first.value - second.value
    below = float(np.hypot(first.value - first.low, second.high - second.value))
    above = float(np.hypot(first.high - first.value, second.value - second.low))
    return difference - below, difference + above


def two_proportions(hits: tuple[int, int], n: tuple[int, int]) -> tuple[float, float]:
    """z and the two-sided p value of the test that two proportions are equal, with pooled variance."""
    if sum(hits) in (0, sum(n)):
        return 0.0, 1.0
    from statsmodels.stats.proportion import proportions_ztest

    z, p = proportions_ztest(hits, n)
    return float(z), float(p)
