"""The permutation test of two groups of patients: right for small groups, where an error from a bootstrap is not."""

import numpy as np
import pytest
from scipy import stats

from harness.stats.bootstrap import area, average, bootstrap_test, ratio, resampled, within
from harness.stats.permutation import permutation_p


def test_the_p_is_that_of_all_permutations() -> None:
    rng = np.random.default_rng(1)
    values, one = rng.normal(size=9), np.arange(9) < 4
    values[one] += 1
    exact = stats.permutation_test(
        (values[one], values[~one]), lambda a, b: np.mean(a) - np.mean(b), n_resamples=np.inf, vectorized=False
    )
    p = permutation_p(one, np.arange(9), np.zeros(9, dtype=np.int64), average(values))
    assert p == pytest.approx(exact.pvalue, abs=0.025)


def test_units_change_places_only_within_their_stratum() -> None:
    strata = np.repeat([0, 1], 10)
    one = strata == 0  # all of one group are of one stratum: there is nothing to permute
    assert permutation_p(one, np.arange(20), strata, average(strata.astype(float))) == 1.0
    p = permutation_p(one, np.arange(20), np.zeros(20, dtype=np.int64), average(strata.astype(float)))
    assert p is not None and p < 0.01


def test_a_unit_in_both_groups_and_a_group_without_a_value_have_no_p() -> None:
    one, scores = np.arange(6) < 3, np.linspace(0, 1, 6)
    assert permutation_p(one, np.array([0, 0, 1, 1, 2, 2]), np.zeros(6, dtype=np.int64), average(scores)) is None
    assert permutation_p(one, np.arange(6), np.zeros(6, dtype=np.int64), area(scores, one)) is None


def test_of_rates_close_to_1_chance_is_called_a_difference_no_more_often_than_it_may_be() -> None:
    rng, draws = np.random.default_rng(0), 150
    permuted, normal = 0, 0
    for _ in range(draws):
        patients = np.arange(220)
        one, hits = patients < 20, rng.random(220) < 0.95
        p = permutation_p(one, patients, np.zeros(220, dtype=np.int64), ratio(hits, np.ones(220, dtype=bool)))
        groups = [ratio(hits[rows], np.ones(int(rows.sum()), dtype=bool)) for rows in (one, ~one)]
        drawn = resampled(
            patients, [within(np.flatnonzero(r), s) for r, s in zip((one, ~one), groups, strict=True)], 300
        )
        difference = float(hits[one].mean() - hits[~one].mean())
        permuted += p is not None and p < 0.05
        normal += bootstrap_test(difference, drawn[:, 0] - drawn[:, 1]).p < 0.05
    assert permuted <= 0.09 * draws
    assert normal > 0.12 * draws  # why it is not used
