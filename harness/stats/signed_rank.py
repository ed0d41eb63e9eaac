"""Two models on several data sets: the Bayesian signed-rank test with a region of practical equivalence.

Benavoli, Mangili, Corani, Zaffalon & Ruggeri 2014, ICML; as in Benavoli, Corani, Demsar & Zaffalon 2017, JMLR 18(77),
section 4.1.1.
"""

import numpy as np
from numpy.typing import NDArray

from harness.stats.practical import Chances

SAMPLES = 20_000  # of the posterior
PRIOR_STRENGTH = 0.5  # of one pseudo-observation, a difference of 0


def signed_rank(differences: NDArray[np.float64], margin: float, seed: int = 0) -> Chances:
    """The chances that the first is better on most data sets by more than the margin, equivalent, and worse.

    differences: [data sets] the first minus the second, of a metric of which more is better.
    The weights of the data sets have a Dirichlet posterior. For each sample of it the region is found in which the mean
    of two data sets is most probable; the chances are the shares of the samples, ties shared.
    """
    values = np.concatenate([[0.0], np.asarray(differences, dtype=np.float64)])
    means = (values[:, None] + values) / 2
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet([PRIOR_STRENGTH, *np.ones(len(differences))], SAMPLES)
    better, worse = (
        np.einsum("si,ij,sj->s", weights, region.astype(np.float64), weights, optimize=True)
        for region in (means > margin, means < -margin)
    )
    regions = np.stack([better, 1 - better - worse, worse])
    most = regions >= regions.max(axis=0) - 1e-12
    shares = (most / most.sum(axis=0)).mean(axis=1)
    return Chances(*map(float, shares))
