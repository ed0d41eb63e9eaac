from functools import cache

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from harness.stats.paired import corrected_t, holm, mcnemar, mcnemar_range


def test_corrected_t_without_overlap_is_the_paired_t_test() -> None:
    first, second = [0.91, 0.94, 0.90, 0.97], [0.90, 0.91, 0.91, 0.93]
    expected = stats.ttest_rel(first, second)
    found = corrected_t([a - b for a, b in zip(first, second, strict=True)], val_to_train=0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_corrected_t_of_one_fold_says_nothing() -> None:
    assert corrected_t([0.5], 0.5).p == 1.0


NOTHING = (1.0, -np.inf, np.inf)


@pytest.mark.parametrize(
    ("differences", "step"),
    [
        ([0.05, 0.05], 0.0),
        ([0.0, 0.0, 0.0], 0.0),
        ([0.95 - 0.9, 0.85 - 0.8, 0.75 - 0.7], 0.0),  # equal but for floating point
        ([2 / 40, 2 / 40], 1 / 40),
        ([2 / 160, 2 / 161], 1 / 160.5),  # two images each: the folds are not of one size
        ([7 / 40, 7 / 41, 7 / 40], 3 / 121),
    ],
)
def test_differences_without_a_spread_resolve_nothing(differences: list[float], step: float) -> None:
    found = corrected_t(differences, 1 / (len(differences) - 1), step)
    assert (found.p, found.low, found.high) == NOTHING
    assert found.difference == pytest.approx(np.mean(differences))


def test_differences_one_step_apart_are_tested_as_ever() -> None:
    differences = [20 / 40, 20 / 40, 21 / 40]
    found = corrected_t(differences, 0.5, 1 / 40)
    assert found == corrected_t(differences, 0.5)
    assert found.p < 0.01
    assert (corrected_t(differences, 0.5, 1.01 / 40).p, corrected_t(differences, 0.5, 1.01 / 40).low) == NOTHING[:2]


@pytest.mark.parametrize(("b", "c"), [(24, 18), (75, 69), (3, 14), (0, 6), (0, 0)])
def test_mcnemar_is_the_exact_test_of_statsmodels(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(statsmodels_mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1.0)


def test_the_range_of_mcnemar_over_all_overlaps_is_that_of_every_table() -> None:
    """Small classes, every assignment of right and wrong tried."""
    totals, first, second = {"a": 4, "b": 3}, {"a": 3, "b": 1}, {"a": 2, "b": 2}
    tables = set()
    for both_a in range(max(0, 3 + 2 - 4), 2 + 1):
        for both_b in range(max(0, 1 + 2 - 3), 1 + 1):
            tables.add((3 - both_a + 1 - both_b, 2 - both_a + 2 - both_b))
    found = mcnemar_range(first, second, totals)
    assert (found.fewest, found.most) == (min(tables), max(tables))
    values = [mcnemar(*table) for table in tables]
    assert (found.p_low, found.p_high) == (min(values), max(values))


def test_an_adjusted_interval_leaves_zero_out_where_its_p_value_times_the_comparisons_is_small() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        found = corrected_t((rng.normal(0.03, 0.02, 5)).tolist(), val_to_train=0.25)
        low, high = found.adjusted(10)
        assert (low > 0 or high < 0) == (10 * found.p < 0.05)
        assert found.adjusted(1) == pytest.approx((found.low, found.high))
    assert corrected_t([0.1, 0.1, 0.1], 0.5).adjusted(3) == (-np.inf, np.inf)


def test_holm_of_a_worked_example() -> None:
    """p = 0.01, 0.04, 0.03, 0.005 in four tests: Holm's step-down by hand."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_holm_of_some_of_a_family_raises_p_by_no_less_than_among_all_of_it() -> None:
    assert holm([0.01, 0.04], family=6) == pytest.approx([0.06, 0.2])
    rng = np.random.default_rng(3)
    for _ in range(100):
        ps = (rng.random(10) ** 3).tolist()
        assert all(some >= among - 1e-15 for some, among in zip(holm(ps[:4], family=10), holm(ps)[:4], strict=True))


def test_holm_is_that_of_statsmodels_to_the_bit_also_with_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels calls it each time: a third of a second
    rng = np.random.default_rng(6)
    for count in range(1, 41):
        for digits in (2, 17):
            ps = (rng.random(count) ** 3).round(digits).tolist()
            assert holm(ps) == multipletests(ps, method="holm")[1].tolist()


@cache
def differences_of_scikit_learn() -> list[float]:
    """The differences in ROC AUC, rbf less linear, of "Statistical comparison of models using grid search".

    10 x 10 folds.
    """
    data, target = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), data, target, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    )
    differences: list[float] = (rbf - linear).tolist()
    return differences


def test_the_corrected_t_test_gives_what_scikit_learn_prints_for_its_own_example() -> None:
    """Printed there: corrected t 0.750, one-sided p 0.227; uncorrected t 2.611, p 0.005."""
    differences = differences_of_scikit_learn()
    found, naive = corrected_t(differences, val_to_train=10 / 90), corrected_t(differences, val_to_train=0)
    assert round(found.p / 2, 3) == 0.227
    assert round(naive.p / 2, 3) == 0.005
    half = stats.t.ppf(0.975, 99)
    assert [round(t.difference / ((t.high - t.difference) / half), 3) for t in (found, naive)] == [0.750, 2.611]
