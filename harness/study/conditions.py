"""Conditions on other parameters or factors, `when:` in a search and in a grid: `{head: [dropout-gap]}`."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

from pydantic import Field

Conditions = dict[str, Annotated[list[Any], Field(min_length=1)]]  # another name -> its values where this one exists


def met(conditions: Conditions, point: Mapping[str, Any]) -> bool:
    """Whether a point meets the conditions; it must have all that exists and that they are about."""
    return all(other in point and point[other] in values for other, values in conditions.items())


def in_order(when: Mapping[str, Conditions]) -> list[str]:
    """The names, each after those in its conditions. Raises CycleError."""
    return list(TopologicalSorter({key: list(conditions) for key, conditions in when.items()}).static_order())


def circle(when: Mapping[str, Conditions]) -> str | None:
    """The message about conditions that go in a circle; None where they do not."""
    try:
        in_order(when)
    except CycleError as error:
        return f"the conditions go in a circle: {' -> '.join(map(str, error.args[1]))}"
    return None


def condition_problems(
    key: str, conditions: Conditions, choices: Mapping[str, Sequence[Any] | None], place: str
) -> Iterator[tuple[str, str]]:
    """The problems of the conditions of `key`: the other name, and a message.

    choices: the values of every name, None for a range. place: of the names, such as `the space`.
    """
    for other, values in conditions.items():
        if other not in choices:
            yield other, f"{other} is not in {place}; allowed: {', '.join(k for k in choices if k != key)}"
        elif (known := choices[other]) is None:
            yield other, f"{other} is a range; a condition needs a parameter with choices"
        elif not any(value in known for value in values):
            what = "searched" if place == "the space" else "varied"
            yield other, f"{other} is never {' or '.join(map(str, values))}, so {key} would never be {what}"
