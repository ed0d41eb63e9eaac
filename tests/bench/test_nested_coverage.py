"""The interval of a nested selection, by few simulations with fixed seeds and wide margins."""

from tests.bench.coverage import Images
from tests.bench.nested_coverage import Nested, NestedCoverage, nested_coverage, nested_table


def test_the_interval_of_a_nested_selection_holds_what_the_best_of_equal_ones_overstates() -> None:
    found = nested_coverage(Nested(Images(200, 1), (0.85,) * 8), 60)
    assert found.fits >= 0.88
    assert found.procedure >= 0.85
    assert abs(found.optimism) < 1.2
    assert found.own_optimism > 1.5, "chance has helped the best one"
    assert found.own_procedure < found.procedure - 0.05


def test_a_scenario_that_is_best_by_far_is_selected_without_each_outer_fold() -> None:
    found = nested_coverage(Nested(Images(60, 1), (0.6, 0.9)), 20)
    assert abs(found.optimism - found.own_optimism) < 0.5


def test_the_table_of_nested_selections_has_a_row_for_each_case() -> None:
    text = nested_table([NestedCoverage("a", 0.95, 0.94, 0.1, 0.8, 0.7, 3.0)])
    assert text.splitlines()[-1] == "| a | 0.950 | 0.940 | 0.1 | 0.800 | 0.700 | 3.0 |"
