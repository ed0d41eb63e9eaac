"""The block `subgroups` of the study file: columns of the metadata, and the cut points of their bands."""

import math
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

MISSING = "missing"  # the group of the images whose value is not known


def _checked(value: Any) -> Any:
    """Return a column, or the cut points of one. Raises ValueError, saying what is allowed."""
    if isinstance(value, str) and value.strip():
        return value
    if not isinstance(value, dict) or len(value) != 1 or not all(isinstance(name, str) for name in value):
        raise ValueError("an entry is one column of the metadata, such as sex, or one with cut points: {age: [40, 65]}")
    (cuts,) = value.values()
    numbers = isinstance(cuts, list) and all(type(cut) in (int, float) and math.isfinite(cut) for cut in cuts)
    if not numbers or not cuts or any(low >= high for low, high in pairwise(cuts)):
        raise ValueError("cut points are a list of rising numbers, such as {age: [40, 65]}")
    return value


Subgroup = Annotated[str | dict[str, list[float]], BeforeValidator(_checked)]


def _once(subgroups: list[Any]) -> list[Any]:
    """Return the subgroups. Raises ValueError where a column stands twice."""
    columns = [column_of(subgroup) for subgroup in subgroups]
    for name in columns:
        if columns.count(name) > 1:
            raise ValueError(f"the column {name} stands twice; give it once, with all its cut points")
    return subgroups


def column_of(subgroup: str | dict[str, list[float]]) -> str:
    """The column of the metadata that makes the groups."""
    return subgroup if isinstance(subgroup, str) else next(iter(subgroup))


def cuts_of(subgroup: str | dict[str, list[float]]) -> list[float]:
    """The cut points of its bands; empty where each value is a group."""
    return [] if isinstance(subgroup, str) else next(iter(subgroup.values()))


def subgroup_words(subgroup: str | dict[str, list[float]]) -> str:
    """The subgroup as a reader sees it: `sex`, `age (cut at 40 and 65)`."""
    cuts = " and ".join(number_words(cut) for cut in cuts_of(subgroup))
    return column_of(subgroup) + (f" (cut at {cuts})" if cuts else "")


def number_words(value: float) -> str:
    """A number of the metadata in the fewest digits: 40.0 as 40."""
    return f"{value:.15g}"


Subgroups = Annotated[list[Subgroup], AfterValidator(_once)]
