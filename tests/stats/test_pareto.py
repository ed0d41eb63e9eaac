from hypothesis import given
from hypothesis import strategies as st

from harness.stats.pareto import pareto_indices


def test_the_front_of_planted_points() -> None:
    costs = [5.0, 1.0, 3.0, 2.0, 4.0]
    values = [0.9, 0.5, 0.4, 0.7, 0.9]  # the third is beaten by the fourth, the first costs more than its equal
    assert pareto_indices(costs, values) == [1, 3, 4]


def test_of_equals_the_first_is_on_the_front_and_of_equally_cheap_ones_the_best() -> None:
    assert pareto_indices([1, 1, 1], [0.5, 0.8, 0.8]) == [1]
    assert pareto_indices([], []) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_no_other_beats_a_point_on_the_front_and_one_on_it_beats_or_equals_each_other(
    points: list[tuple[int, int]],
) -> None:
    front = [points[i] for i in pareto_indices(*map(list, zip(*points, strict=True)))] if points else []
    for cost, value in front:
        assert not any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
    assert all(any(c <= cost and v >= value for c, v in front) for cost, value in points)
    assert front == sorted(set(front))
