"""Ranks of models on data sets, against Demsar's example; chances by signed ranks, against baycomp's."""

import numpy as np
import pytest

from harness.stats.ranks import not_told_apart, rank_test, ranks
from harness.stats.signed_rank import signed_rank

# The AUC of C4.5, with m, with cf and with both on 14 data sets: Demsar 2006, JMLR 7:1-30, table 2. Of `voting` the
# third is 0.9751 here: the table ranks it before the fourth, from which it differs by less than is printed.
C45 = np.array(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]
)  # fmt: skip


def test_the_ranks_of_c45_are_demsars() -> None:
    found = rank_test(C45)
    assert found.means == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    assert found.chi2 == pytest.approx(9.28, abs=5e-3)
    assert found.f == pytest.approx(3.69, abs=5e-3)
    assert found.resolved  # the critical value of F(3, 39) is 2.85
    assert found.critical == pytest.approx(1.25, abs=5e-3)  # Nemenyi: 2.569 * sqrt(4 * 5 / (6 * 14))
    assert found.data_sets == 14


def test_less_may_be_better() -> None:
    assert rank_test(-C45, maximize=False).means == rank_test(C45).means
    assert ranks(np.array([[0.1, 0.3, 0.3]]), maximize=False).tolist() == [[1.0, 2.5, 2.5]]


def test_the_same_order_everywhere_and_ties_everywhere_have_a_test() -> None:
    same = rank_test(np.tile([0.9, 0.8, 0.7], (5, 1)))
    assert same.chi2 == pytest.approx(10.0)
    assert (same.f, same.p) == (np.inf, 0.0)
    tied = rank_test(np.ones((5, 3)))
    assert tied.means == (2.0, 2.0, 2.0)
    assert tied.chi2 == pytest.approx(0.0)
    assert tied.p == pytest.approx(1.0)


def test_two_models_have_the_test_of_wilcoxon() -> None:
    """C4.5 and C4.5 with m: by Demsar 2006, table 1, a sum of ranks of 12, below 21, so p < 0.05."""
    found = rank_test(C45[:, :2])
    assert found.resolved
    assert found.critical is None
    assert rank_test(np.array([[0.9, 0.8], [0.7, 0.6]])).p == 0.5  # two data sets cannot say more
    assert rank_test(np.ones((4, 2))).p == 1.0
    assert rank_test(np.array([[0.9, 0.8]])).p == 1.0


def test_two_models_have_ranks_and_no_critical_difference() -> None:
    found = rank_test(C45[:, :2])
    assert found.means == pytest.approx((25 / 14, 17 / 14))  # 2 wins and 2 ties for the first
    assert (found.chi2, found.f, found.critical) == (None, None, None)


def test_groups_are_the_largest_within_the_critical_difference() -> None:
    assert not_told_apart((3.0, 1.0, 2.0, 5.0), 1.2) == [(1, 2), (2, 0)]
    assert not_told_apart((3.143, 2.000, 2.893, 1.964), 1.25) == [(3, 1, 2, 0)]
    assert not_told_apart((1.0, 3.0), 0.5) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1, 0, (0.0, 0.329, 0.671)), (2, 0, (0.116, 0.692, 0.192)), (3, 1, (0.003, 0.729, 0.268))],
)
def test_chances_are_those_of_baycomp(first: int, second: int, expected: tuple[float, float, float]) -> None:
    """The numbers of `baycomp.SignedRankTest.probs(second, first, rope=0.01, random_state=0)`, baycomp 1.0.3."""
    found = signed_rank(C45[:, first] - C45[:, second], 0.01)
    assert (found.worse, found.equivalent, found.better) == pytest.approx(expected, abs=0.015)


def test_equal_models_are_equivalent() -> None:
    found = signed_rank(np.zeros(6), 0.01)
    assert (found.better, found.equivalent, found.worse) == (0.0, 1.0, 0.0)
