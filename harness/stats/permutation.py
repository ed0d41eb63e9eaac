"""The permutation test of a difference between two groups of patients."""

import numpy as np
from numpy.typing import NDArray

from harness.stats import ROUNDING
from harness.stats.bootstrap import RESAMPLES_AT_ONCE, Statistic, Values

PERMUTATIONS = 2000


def permutation_p(
    one: NDArray[np.bool_], units: NDArray[np.int64], strata: NDArray[np.int64], statistic: Statistic, seed: int = 0
) -> float | None:
    """The two-sided p of `statistic` being the same in two groups, when units change places within their strata.

    Exact where, within a stratum, nothing but chance put a unit into its group; unlike an error from a bootstrap it
    holds for small groups and for rates of 0 and 1. After Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9(1):39.
    one: [n], whether an image is in the first group. units: [n], such as its patient. strata: [n], such as its class.
    None where a unit is in both groups, or the statistic is undefined in one of them.
    """
    _, first, members = np.unique(units, return_index=True, return_inverse=True)
    of_unit = one[first]
    if (of_unit[members] != one).any():
        return None
    observed = _difference(statistic, one[None])
    if not np.isfinite(observed).all():
        return None
    rng, of_stratum = np.random.default_rng(seed), _strata_of_units(strata, members, len(first))
    blocks = []
    for start in range(0, PERMUTATIONS, RESAMPLES_AT_ONCE):
        drawn = np.tile(of_unit, (min(RESAMPLES_AT_ONCE, PERMUTATIONS - start), 1))
        for stratum in np.unique(of_stratum):
            inside = np.flatnonzero(of_stratum == stratum)
            drawn[:, inside] = rng.permuted(drawn[:, inside], axis=1)
        blocks.append(_difference(statistic, drawn[:, members]))
    values = np.abs(np.concatenate(blocks))
    return float((1 + np.sum(values >= np.abs(observed) - ROUNDING)) / (1 + len(values)))


def _difference(statistic: Statistic, one: NDArray[np.bool_]) -> Values:
    return statistic(one.astype(np.float64)) - statistic((~one).astype(np.float64))


def _strata_of_units(strata: NDArray[np.int64], members: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The stratum of every unit; units with images of several strata are a stratum of their own, -1."""
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(low, members, strata)
    np.maximum.at(high, members, strata)
    return np.where(low == high, low, -1)
