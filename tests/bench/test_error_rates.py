"""The main error rates, by few simulations with fixed seeds and wide margins; `make bench-statistics` has more."""

import pytest

from tests.bench.error_rates import Folds, Rate, cheapest, differences, table, verdicts


def test_two_equal_scenarios_and_a_cheap_bad_one_are_hardly_ever_taken_for_what_they_are_not() -> None:
    folds = Folds(5)
    worse, practically = verdicts(folds, 2, 100)
    assert worse.share <= 0.1
    assert practically.share <= worse.share
    of_eight, _ = verdicts(Folds(5, 5), 8, 60)  # 0.15 where p values are adjusted for the comparisons alone
    assert of_eight.share <= 0.1
    equivalent, found = differences(folds, 0.03, 100)
    assert equivalent.share <= 0.05
    assert found.share > 0.7
    selected, _ = cheapest(Folds(3), 60)
    assert selected.share <= 0.05


def test_the_table_has_a_row_for_each_rate() -> None:
    text = table([Rate("a", "b", 0.25, "<= 0.05")])
    assert text.splitlines()[-1] == "| a | b | 0.250 | <= 0.05 |"


@pytest.mark.parametrize("folds", [Folds(3), Folds(5, 5)])
def test_a_protocol_has_a_value_for_each_fold_of_each_repeat(folds: Folds) -> None:
    import numpy as np

    assert folds.values([0.9, 0.8], np.random.default_rng(0)).shape == (2, folds.k * folds.repeats)
