"""Sums over clusters: images of a patient are alike, so the error of a number is found from whole patients."""

import numpy as np
from numpy.typing import NDArray

Clusters = NDArray[np.int64]  # [n] the patient of every image


def cluster_sums(values: NDArray[np.float64], clusters: Clusters) -> NDArray[np.float64]:
    """The sum of the values of each cluster, in the order of the clusters' numbers."""
    _, members = np.unique(clusters, return_inverse=True)
    sums: NDArray[np.float64] = np.bincount(members, weights=values).astype(np.float64)
    return sums


def unbiased(count: int) -> float:
    """The factor that makes a sum of squares of so many independent deviations from their mean unbiased."""
    return count / (count - 1) if count > 1 else 0.0
