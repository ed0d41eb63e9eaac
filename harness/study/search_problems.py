"""What can be wrong with a search as a whole: values that settings cannot take, conditions, grids, enqueued points."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.study.conditions import circle, condition_problems
from harness.study.search_block import Dimension, Point, Search
from harness.study.strict_yaml import FieldPath

MAX_POINTS = 10_000  # of a grid
Reason = Callable[[str, Any], str | None]  # (setting, value) -> what is wrong with the value


def search_problems(search: Search, base: Mapping[str, Any], reason: Reason) -> Iterator[tuple[FieldPath, str]]:
    """The problems of a search, as fields below `search` and messages; only the first is shown to the user.

    base: the settings that the space varies. reason: checks a value of a setting.
    """
    when = search.when
    choices = {key: dimension.choices for key, dimension in search.space.items()}
    for key, dimension in search.space.items():
        at: FieldPath = ("space", key)
        if key not in base:
            yield at, ""  # an unknown name: the caller suggests a similar one
        yield from _value_problems(key, dimension, reason)
        for other, message in condition_problems(key, when[key], choices, "the space"):
            yield (*at, "when", other), message
    if going_round := circle(when):
        yield ("space",), going_round
    yield from _choice_problems(search)
    for i, given in enumerate(search.enqueue):
        yield from _enqueue_problems(search, i, given, base)


def _value_problems(key: str, dimension: Dimension, reason: Reason) -> Iterator[tuple[FieldPath, str]]:
    values = enumerate(dimension.choices) if dimension.choices else (("low", dimension.low), ("high", dimension.high))
    for place, value in values:
        at: FieldPath = ("space", key, "choices", place) if dimension.choices else ("space", key, place)
        problem = reason(key, value)
        if problem:
            yield at, problem
        if dimension.choices and isinstance(place, int) and value in dimension.choices[:place]:
            yield at, f"{value} stands in this list twice"
    if dimension.step is not None and dimension.low is not None and reason(key, dimension.low + dimension.step):
        yield ("space", key, "step"), f"{dimension.step} does not lead to a value of {key}"
    if key == "image_size" and dimension.choices is None and dimension.step is None:
        yield ("space", key), "give a step, such as 32, or choices: the images are decoded and cached at every size"


def _choice_problems(search: Search) -> Iterator[tuple[FieldPath, str]]:
    if search.pruner == "median" and search.objective.cost is not None:
        yield ("pruner",), "median is given; with two objectives (cost) nothing can be pruned: write none"
    if search.sampler != "grid":
        if search.trials is None:
            yield ("trials",), "this key is missing; a search other than a grid needs a number of trials"
        return
    for key, dimension in search.space.items():
        if not dimension.size:
            yield ("space", key), "a grid needs choices, or a step in the range"
    size = math.prod(dimension.size for dimension in search.space.values())
    if size > MAX_POINTS:
        yield ("space",), f"{size:,} points; a grid search has at most {MAX_POINTS:,}"


def _enqueue_problems(
    search: Search, number: int, given: Point, base: Mapping[str, Any]
) -> Iterator[tuple[FieldPath, str]]:
    at: FieldPath = ("enqueue", number)
    point = search.complete(given, base)
    for key in given:
        if key not in search.space:
            yield (*at, key), f"{key} is not in the space; allowed: {', '.join(search.space)}"
        elif key not in point:
            yield (*at, key), f"{key} does not exist at this point, see search.space.{key}.when"
    for key, value in point.items():
        if not search.space[key].holds(value):
            said = "is given" if key in given else f"is base.{key}, as the point does not give it"
            yield (*at, key), f"{value} {said}; it is not in the space"
