"""The area under the ROC curve with its error over whole patients, and the interval of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats import UPPER_END
from harness.stats.clusters import Clusters, cluster_sums, unbiased
from harness.stats.proportions import Interval

Positive = NDArray[np.bool_]  # [n]
_STEP = 1e-12  # from the found area, itself a root of no interval


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve, its confidence interval, and the method of the interval."""

    value: float
    low: float
    high: float
    method: str


def bounded_area(value: float, moves: NDArray[np.float64], positive: Positive, clusters: Clusters) -> Area:
    """The area with an interval within [0, 1]. moves: [n] by how much each image moves it.

    The interval is that of the logit, by the error over patients and Student's t: near 1 an area is skewed, and few
    patients make up its error. Where that is zero, as for a perfect curve, or a class has a single patient, it is not
    known: then Newcombe's interval, in which each patient of a class counts once.
    """
    from scipy.special import expit, logit, stdtrit

    error = area_error(moves, positive, clusters)
    patients = len(np.unique(clusters[positive])), len(np.unique(clusters[~positive]))
    if error < least_error(positive) or min(patients) < 2:
        return Area(value, *newcombe_area(value, patients), "Newcombe")
    half = float(stdtrit(_freedom(cluster_sums(moves, clusters)), UPPER_END)) * error / (value * (1 - value))
    low, high = (float(expit(logit(value) + side)) for side in (-half, half))
    return Area(value, low, high, "DeLong, of the logit")


def _freedom(moves: NDArray[np.float64]) -> float:
    """The degrees of freedom of a variance from these deviations, by their kurtosis; the count - 1 of normal ones.

    A chi-squared variable with them has the mean and the variance of such a variance (O'Neill 2014, The American
    Statistician 68:282). Where few of the deviations make it up, the kurtosis is high and the variance hardly known.
    """
    count = len(moves)
    kurtosis = count * float((moves**4).sum()) / float((moves**2).sum()) ** 2
    return 2 * count / (kurtosis - (count - 3) / (count - 1))


def newcombe_area(value: float, counts: tuple[int, int]) -> Interval:
    """Newcombe's score interval of an area under the ROC curve (2006, Statistics in Medicine 25:559, method 5).

    counts: of the positive and the negative ones. It holds the areas from which the found one is z errors away, by the
    error of Hanley and McNeil (1982) for exponential scores, with the mean of the counts in its numerator.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z, (m, n) = float(ndtri(UPPER_END)), counts
    more = (m + n) / 2 - 1

    def beyond(area: float) -> float:
        variance = area * (1 - area) * (1 + more * ((1 - area) / (2 - area) + area / (1 + area))) / (m * n)
        return float((value - area) ** 2 - z**2 * variance)

    low = 0.0 if value <= 0 else float(brentq(beyond, 0, value - _STEP))
    return low, 1.0 if value >= 1 else float(brentq(beyond, value + _STEP, 1))


def least_error(positive: Positive) -> float:
    """Half of the error that one tied pair of images causes; smaller ones are floating-point errors."""
    return 0.25 / (int(positive.sum()) * int((~positive).sum()))


def area_moves(scores: NDArray[np.float64], positive: Positive) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The areas [k] under k ROC curves, and by how much each image moves each of them [k, n]; from scores [k, n].

    Raises ValueError where a class has fewer than two images.
    """
    above, below = placements(scores, positive)
    areas: NDArray[np.float64] = above.mean(axis=1)
    moves = np.empty(scores.shape)
    moves[:, positive] = (above - areas[:, None]) / above.shape[1]
    moves[:, ~positive] = (below - areas[:, None]) / below.shape[1]
    return areas, moves


def area_error(moves: NDArray[np.float64], positive: Positive, clusters: Clusters) -> float:
    """The error of an area, or of a difference of areas, over whole patients (Obuchowski 1997, Biometrics 53:567).

    moves: [n] by how much each image moves it. DeLong's error (1988) where each image has a patient of its own.
    """
    cases, controls = (cluster_sums(np.where(of, moves, 0), clusters) for of in (positive, ~positive))
    factors = [unbiased(len(np.unique(of))) for of in (clusters[positive], clusters[~positive], clusters)]
    products = [(cases**2).sum(), (controls**2).sum(), 2 * (cases * controls).sum()]
    return float(np.sqrt(max(0.0, np.dot(factors, products))))


def placements(scores: NDArray[np.float64], positive: Positive) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The share of negative images below each positive one [k, m], and of positive ones above each negative [k, n].

    scores: [k, images]. DeLong et al. 1988, Biometrics 44:837; by midranks (Sun & Xu 2014, IEEE SPL 21:1389).
    Raises ValueError where a class has fewer than two images.
    """
    from scipy.stats import rankdata

    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        raise ValueError(f"the covariance of areas needs two images of each class; got {m} positive and {n} negative")
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    return above, 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
