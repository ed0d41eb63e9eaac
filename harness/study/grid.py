"""The points of a grid: its factors, those that vary together, conditions, and combinations that are left out."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from harness.study.conditions import Conditions, in_order, met
from harness.study.settings import Settings

NAME = "name"  # in a level that is a mapping: the level of the factor itself; its other keys are what it brings


@dataclass(frozen=True)
class Level:
    """The level of a factor, and the settings that it brings with it."""

    value: Any
    brings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> tuple[Any, ...]:
        """All of it, to compare levels by."""
        return (repr(self.value), *((name, repr(value)) for name, value in sorted(self.brings.items())))


GridPoint = dict[str, Level]  # the factors that exist at a point, each with its level


def level_of(given: Any) -> Level:
    """The level as a study file has it: a value, or a mapping with its name."""
    if isinstance(given, dict):
        return Level(given[NAME], {key: value for key, value in given.items() if key != NAME})
    return Level(given)


def values_at(point: GridPoint) -> dict[str, Any]:
    """The values of all settings that a point decides."""
    found = {key: level.value for key, level in point.items()}
    return found | {name: value for level in point.values() for name, value in level.brings.items()}


@dataclass(frozen=True)
class Axes:
    """A grid with all its levels. together: the factors that vary together, level by level."""

    factors: Mapping[str, list[Level]]
    together: Mapping[str, list[Level]]
    when: Mapping[str, Conditions]
    exclude: list[dict[str, Any]]

    def points(self) -> list[GridPoint]:
        """The points in order, the last factor fastest; those that differ only in what does not exist there are one."""
        return [point for point in self.every_point() if not any(matches(part, point) for part in self.exclude)]

    def every_point(self) -> list[GridPoint]:
        """The points, those that are left out among them."""
        parts = [[{key: level} for level in levels] for key, levels in self.factors.items()]
        if self.together:
            rows = zip(*self.together.values(), strict=True)
            parts.append([dict(zip(self.together, row, strict=True)) for row in rows])
        points = [{key: level for part in each for key, level in part.items()} for each in product(*parts)]
        if not self.when:
            return points
        keys = [*self.factors, *self.together]
        order = in_order({key: self.when.get(key, {}) for key in keys})
        return distinct(self._existing(point, order) for point in points)

    def _existing(self, point: GridPoint, order: Iterable[str]) -> GridPoint:
        """The point without the factors whose conditions it does not meet."""
        values: dict[str, Any] = {}
        for key in order:
            if met(self.when.get(key, {}), values):
                values[key] = point[key].value
        return {key: level for key, level in point.items() if key in values}


def matches(part: Mapping[str, Any], point: GridPoint) -> bool:
    """Whether a point has the values of a part of one; a list is several values that fit."""
    values = values_at(point)
    return all(key in values and values[key] in listed(value) for key, value in part.items())


def listed(value: Any) -> list[Any]:
    """The values of a condition that is a value or a list of values."""
    return value if isinstance(value, list) else [value]


def projected(points: Iterable[GridPoint], fields: Collection[str]) -> list[GridPoint]:
    """The points as far as they decide these fields, each once."""
    return distinct(
        {key: level for key, level in point.items() if key in fields or any(name in fields for name in level.brings)}
        for point in points
    )


def distinct(points: Iterable[GridPoint]) -> list[GridPoint]:
    """Each of these points once, in order."""
    return list({tuple((key, level.values) for key, level in point.items()): point for point in points}.values())


@dataclass(frozen=True)
class Inherited:
    """The settings that a stage starts from. before: the fields that a factor's level brought, as they were before."""

    settings: Settings
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def at(self, point: GridPoint) -> "Inherited":
        """The settings at a point of a grid; a level replaces an earlier one with all that that one brought."""
        restored = {name: value for key in point for name, value in self.before.get(key, {}).items()}
        settings, values = self.settings.model_copy(update=restored), values_at(point)
        before = {
            key: {name: value for name, value in brought.items() if name not in values}
            for key, brought in self.before.items()
            if key not in point
        }
        before |= {key: {name: getattr(settings, name) for name in level.brings} for key, level in point.items()}
        kept = {key: brought for key, brought in before.items() if brought}
        return Inherited(settings.model_copy(update=values), kept)


def reached(
    start: Settings, stages: Iterable[tuple[list[GridPoint], bool]], fields: Collection[str]
) -> Iterator[list[Settings]]:
    """For each stage, the settings that it can reach with any winner before it, each once as far as `fields` go.

    stages: the points of each, and whether it selects a winner.
    """
    starts = [Inherited(start)]
    for points, selects in stages:
        parts = projected(points, fields)
        every = [origin.at(part) for origin in starts for part in parts]
        found = list({_shown(each, fields): each for each in every}.values())
        yield [each.settings for each in found]
        starts = found if selects else starts


def _shown(inherited: Inherited, fields: Collection[str]) -> tuple[Any, ...]:
    return (repr([getattr(inherited.settings, name) for name in fields]), repr(inherited.before))
