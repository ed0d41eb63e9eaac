"""What is checked of the grids of a study: levels, what they bring, what varies together, conditions, exclusions."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from harness.study.conditions import circle, condition_problems
from harness.study.grid import NAME, listed, matches
from harness.study.messages import reason, unknown
from harness.study.number_words import number_of
from harness.study.settings import Settings
from harness.study.stage import Stage
from harness.study.strict_yaml import FieldPath
from harness.study.study import Study

MAX_SCENARIOS = 100_000


def check_grids(study: Study) -> None:
    """Give every level the type of its setting. Raise StudyError for the first thing wrong with a grid."""
    for i, stage in enumerate(study.stages):
        at: FieldPath = ("stages", i)
        for block, grid in (("grid", stage.grid), ("zip", stage.zip)):
            if stage.product > MAX_SCENARIOS:
                raise study.error((*at, block), f"{stage.product:,} scenarios; at most {MAX_SCENARIOS:,} are allowed")
            for key, levels in grid.items():
                _check_levels(study, (*at, block, key), key, levels)
        for field, message in _problems(stage):
            raise study.error((*at, *field), message)


def _check_levels(study: Study, at: FieldPath, key: str, levels: list[Any]) -> None:
    if key not in Settings.model_fields:
        raise study.error(at, unknown("factor", key, Settings.model_fields))
    for j, level in enumerate(levels):
        levels[j] = level = _checked_level(study, (*at, j), key, level)
        if level in levels[:j]:
            shown = level[NAME] if isinstance(level, dict) else level
            raise study.error((*at, j), f"{shown} stands in this list twice")


def _checked_level(study: Study, at: FieldPath, key: str, level: Any) -> Any:
    """The level with the types of its settings; of a mapping that brings nothing, its name."""
    if not isinstance(level, dict):
        return _checked_setting(study, at, key, level)
    if NAME not in level:
        message = f"a level that brings settings with it needs `name`, the {key} itself: {{name: ..., FIELD: VALUE}}"
        raise study.error(at, message)
    if key in level:
        raise study.error((*at, key), f"`name` is the {key} of this level; leave {key} out")
    for name in level:
        if name != NAME and name not in Settings.model_fields:
            raise study.error((*at, name), unknown("setting", name, Settings.model_fields))
    checked = {name: _checked_setting(study, (*at, name), key if name == NAME else name, level[name]) for name in level}
    return checked if len(checked) > 1 else checked[NAME]


def _checked_setting(study: Study, field: FieldPath, key: str, value: Any) -> Any:
    """The value with the type of its setting: a 0 for a rate becomes 0.0, so that it is not another scenario."""
    problem = setting_problem(study, key, value)
    if problem:
        raise study.error(field, problem)
    return getattr(_with(study, key, value), key)


def setting_problem(study: Study, key: str, value: Any) -> str | None:
    """The message about a value that this setting cannot have; None where it can."""
    try:
        _with(study, key, value)
    except ValidationError as error:
        return reason(error.errors()[0])
    return None


def _with(study: Study, key: str, value: Any) -> Settings:
    return Settings.model_validate({**study.base.model_dump(), key: value})


def _problems(stage: Stage) -> Iterator[tuple[FieldPath, str]]:
    """The problems of a stage whose levels are right, as fields below it and messages; only the first is shown."""
    yield from _zip_problems(stage)
    yield from _brought_twice(stage)
    values = {key: [level.value for level in levels] for key, levels in stage.factors.items()}
    for key, conditions in stage.when.items():
        if key not in values:
            yield ("when", key), unknown("factor of this stage", key, values)
        for other, message in condition_problems(key, conditions, values, "the factors of this stage"):
            yield ("when", key, other), message
    if going_round := circle(stage.when):
        yield ("when",), going_round
    yield from _exclusion_problems(stage, values)


def _zip_problems(stage: Stage) -> Iterator[tuple[FieldPath, str]]:
    first, *others = stage.zip or {"": []}
    for key in stage.zip:
        if key in stage.grid:
            yield ("zip", key), "this is a factor of `grid`, too; keep one of them"
    for key in others:
        if len(stage.zip[key]) != len(stage.zip[first]):
            counts = f"{number_of(len(stage.zip[key]), 'level')}, and {first} has {len(stage.zip[first])}"
            yield ("zip", key), f"{counts}; factors of `zip` vary together, level by level"


def _brought_twice(stage: Stage) -> Iterator[tuple[FieldPath, str]]:
    """The settings that a level brings and that something else of the stage varies as well."""
    brings: dict[str, str] = {}  # setting -> the factor that brings it
    for block, grid in (("grid", stage.grid), ("zip", stage.zip)):
        for key, levels in grid.items():
            for j, level in enumerate(levels):
                for name in level if isinstance(level, dict) else ():
                    at: FieldPath = (block, key, j, name)
                    if name in stage.factors:
                        yield at, f"{name} is a factor of this stage, too; keep one of them"
                    elif name != NAME and brings.setdefault(name, key) != key:
                        yield at, f"levels of {brings[name]} bring {name}, too; one factor of a stage may bring it"


def _exclusion_problems(stage: Stage, values: Mapping[str, list[Any]]) -> Iterator[tuple[FieldPath, str]]:
    known = dict(values)
    for levels in stage.factors.values():
        for name in {name for level in levels for name in level.brings}:
            known[name] = [level.brings[name] for level in levels if name in level.brings]
    for number, part in enumerate(stage.exclude):
        at: FieldPath = ("exclude", number)
        for key, value in part.items():
            if key not in known:
                yield (*at, key), unknown("factor of this stage", key, known)
                return
            for one in listed(value):
                if one not in known[key]:
                    shown = ", ".join(map(str, dict.fromkeys(map(str, known[key]))))
                    yield (*at, key), f"{key} is never {one} in this stage, but {shown}; take it out"
    if not stage.exclude:
        return
    every = stage.axes.every_point()
    for number, part in enumerate(stage.exclude):
        if not any(matches(part, point) for point in every):
            words = " and ".join(f"{key} {' or '.join(map(str, listed(value)))}" for key, value in part.items())
            yield ("exclude", number), f"no scenario of the stage has {words}; take it out"
    if not stage.points():
        yield ("exclude",), "this leaves no scenario of the stage"
