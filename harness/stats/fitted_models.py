"""Paired tests of two fitted models on the same images, where images of one patient are alike.

They are about these models: two fits by the same recipe may differ significantly, too.
"""

import numpy as np
from numpy.typing import NDArray

from harness.stats import ROUNDING, UPPER_END
from harness.stats.areas import area_error, area_moves, least_error
from harness.stats.clusters import Clusters, cluster_sums, unbiased
from harness.stats.paired import Test

Decided = NDArray[np.bool_]  # [n]
HitShares = NDArray[np.bool_] | NDArray[np.float64]  # [n] right or not, or the share of several repeats that is right


def accuracy_difference(first: HitShares, second: HitShares, clusters: Clusters) -> Test:
    """The difference of two accuracies, its error over whole patients (Obuchowski 1998, Stat Med 17:1495).

    first, second: [n] whether each model is right, or how often. t with the number of patients - 1 degrees of freedom.
    Where no patient differs from another p is 1 and the interval is infinite.
    """
    from scipy.special import stdtr, stdtrit

    differences = first.astype(np.float64) - second
    mean, residuals = float(differences.mean()), cluster_sums(differences - differences.mean(), clusters)
    count = len(residuals)
    error = float(np.sqrt(unbiased(count) * (residuals**2).sum())) / len(differences)
    if error < ROUNDING:
        return Test(mean, -np.inf, np.inf, 1.0)
    half = float(stdtrit(count - 1, UPPER_END)) * error
    return Test(mean, mean - half, mean + half, float(2 * stdtr(count - 1, -abs(mean) / error)))


def area_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], positive: Decided, clusters: Clusters
) -> Test:
    """The difference of two areas under the ROC curve, its error over whole patients (Obuchowski 1997, Biometrics 53).

    first, second: [n] scores; positive: [n]. DeLong's test (1988) where each image has a patient of its own. Where the
    variance is zero (both curves perfect, or all scores tied) p is 1 and the interval is infinite.
    Raises ValueError where a class has fewer than two images.
    """
    from scipy.special import ndtr, ndtri

    areas, moves = area_moves(np.stack([first, second]), positive)
    difference = float(areas[0] - areas[1])
    error = area_error(moves[0] - moves[1], positive, clusters)
    if error < least_error(positive):
        return Test(difference, -np.inf, np.inf, 1.0)
    half = float(ndtri(UPPER_END)) * error
    return Test(difference, difference - half, difference + half, float(2 * ndtr(-abs(difference) / error)))
