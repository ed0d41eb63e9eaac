"""The Pareto front of things that have a cost and a value."""

from collections.abc import Sequence


def pareto_indices(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """The indices of those that no other beats: none costs less or the same and is worth more. The cheapest first.

    Of equals in both, the first stands for all.
    """
    front: list[int] = []
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -values[i])):
        if not front or values[index] > values[front[-1]]:
            front.append(index)
    return front
