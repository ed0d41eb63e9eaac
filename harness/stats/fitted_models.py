"""Paired tests of two fitted models on the same images, where images of one patient are alike.

They are about these models: two fits by the same recipe may differ significantly, too.
"""

import numpy as np
from numpy.typing import NDArray

from harness.stats import CONFIDENCE_LEVEL, ROUNDING
from harness.stats.paired import Test, least_error, placements

Clusters = NDArray[np.int64]  # [n] the patient of every image
Decided = NDArray[np.bool_]  # [n]


def accuracy_difference(first: Decided, second: Decided, clusters: Clusters) -> Test:
    """The difference of two accuracies, its error over whole patients (Obuchowski 1998, Stat Med 17:1495).

    first, second: [n] whether each model is right. t with the number of patients - 1 degrees of freedom. Where no
    patient differs from another p is 1 and the interval is infinite.
    """
    from scipy.special import stdtr, stdtrit

    differences = first.astype(np.float64) - second
    mean, residuals = float(differences.mean()), _of_patients(differences - differences.mean(), clusters)
    count = len(residuals)
    error = float(np.sqrt(_unbiased(count) * (residuals**2).sum())) / len(differences)
    if error < ROUNDING:
        return Test(mean, -np.inf, np.inf, 1.0)
    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE_LEVEL / 2)) * error
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

    above, below = placements(np.stack([first, second]), positive)
    difference = float(above[0].mean() - above[1].mean())
    shares = np.zeros(len(positive))  # by how much each image moves the difference
    shares[positive] = (above[0] - above[1] - difference) / above.shape[1]
    shares[~positive] = (below[0] - below[1] - difference) / below.shape[1]
    cases, controls = (_of_patients(np.where(of, shares, 0), clusters) for of in (positive, ~positive))
    factors = [_unbiased(len(np.unique(of))) for of in (clusters[positive], clusters[~positive], clusters)]
    products = [(cases**2).sum(), (controls**2).sum(), 2 * (cases * controls).sum()]
    error = float(np.sqrt(max(0.0, np.dot(factors, products))))
    if error < least_error(positive):
        return Test(difference, -np.inf, np.inf, 1.0)
    half = float(ndtri(0.5 + CONFIDENCE_LEVEL / 2)) * error
    return Test(difference, difference - half, difference + half, float(2 * ndtr(-abs(difference) / error)))


def _unbiased(count: int) -> float:
    """The factor that makes a sum of squares of so many independent deviations from their mean unbiased."""
    return count / (count - 1) if count > 1 else 0.0


def _of_patients(values: NDArray[np.float64], clusters: Clusters) -> NDArray[np.float64]:
    """The sum of the values of each patient."""
    _, members = np.unique(clusters, return_inverse=True)
    sums: NDArray[np.float64] = np.bincount(members, weights=values).astype(np.float64)
    return sums
