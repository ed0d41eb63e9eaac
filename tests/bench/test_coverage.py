"""The main coverage rates, by few simulations with fixed seeds and wide margins; `make bench-statistics` has more."""

import pytest

from tests.bench.coverage import (
    Coverage,
    Images,
    OneMore,
    accuracy_coverage,
    area_coverage,
    coverage_table,
    fold_area_coverage,
    one_more_coverage,
    one_more_table,
)

TIMES = 120


@pytest.mark.parametrize(("images", "rate"), [(Images(50, 4, 0.5), 0.95), (Images(10, 10, 0.5), 0.8)])
def test_the_interval_of_an_accuracy_holds_it_where_images_of_patients_are_alike(images: Images, rate: float) -> None:
    found = accuracy_coverage(images, rate, TIMES)
    assert found.now >= 0.88
    assert found.over_images < 0.88
    assert max(found.over_images, found.resampled) < found.now


@pytest.mark.parametrize(("images", "true"), [(Images(40, 1), 0.99), (Images(50, 4, 0.5), 0.99)])
def test_the_interval_of_an_area_near_1_holds_it(images: Images, true: float) -> None:
    found = area_coverage(images, true, TIMES)
    assert found.now >= 0.9
    assert found.over_images < 0.85
    assert found.resampled < found.now


def test_the_interval_of_an_area_within_folds_holds_it_where_one_order_of_all_scores_does_not() -> None:
    found = fold_area_coverage(Images(100, 2, 0.5), 0.95, TIMES // 2)
    assert found.now >= 0.88
    assert found.over_images < 0.6, "all scores in one order"


@pytest.mark.parametrize("refits", [2, 5])
def test_the_interval_of_refits_holds_one_more_model_where_that_of_one_does_not(refits: int) -> None:
    found = one_more_coverage(Images(100, 4, 0.5), 0.85, 0.05, refits, TIMES)
    assert found.now >= 0.9
    assert found.of_first < 0.6


def test_the_table_has_a_row_for_each_interval() -> None:
    text = coverage_table([Coverage("a", "b", 0.95, 0.8, 0.7)])
    assert text.splitlines()[-1] == "| a | b | 0.950 | 0.800 | 0.700 |"


def test_the_table_of_refits_has_a_row_for_each_simulation() -> None:
    text = one_more_table([OneMore("a", 3, 0.95, 0.25, 0.5)])
    assert text.splitlines()[-1] == "| a | 3 | 0.950 | 0.25 | 0.500 |"
