"""Recipes: ways to train that a study names in one word. They are written out when its file is read."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.study.grid import NAME
from harness.study.settings import Settings, level_text

RECIPES: Mapping[str, Mapping[str, Any]] = {  # what each does otherwise than the defaults of the settings
    "paper": {},  # Adam at a constant 1e-4, images as they are: the defaults are those of the paper on pneumonia
    "probe": {"trainable": "head", "head": "logistic"},
    "modern": {  # the best that studies/recipes.yaml shows
        "optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05, "schedule": "cosine", "warmup": 1.0,
        "augment": "medical",
    },
}  # fmt: skip
DECIDED = sorted({name for values in RECIPES.values() for name in values})  # by every recipe, so that any replaces any


def write_out(data: dict[str, Any]) -> None:
    """Write out the recipes in the data of a study file: what `base` and levels get by them, where it is not named.

    A recipe decides what the study names nowhere itself. Words that are no recipe are left for the checks to refuse.
    """
    base, stages = data.get("base"), data.get("stages")
    grids = [grid for stage in _mappings(stages) for grid in _mappings([stage.get("grid"), stage.get("zip")])]
    named = set(_named(base, grids))
    for grid in grids:
        levels = grid.get("recipe")
        if isinstance(levels, list):
            grid["recipe"] = [_level(level, named) for level in levels]
    if isinstance(base, dict):
        data["base"] = _brought(base.get("recipe"), named) | base


def recipe_words(base: Settings) -> str | None:
    """What a base has of all that recipes decide, such as `recipe probe: ..., head logistic`; None without one."""
    if base.recipe is None:
        return None
    return f"recipe {base.recipe}: {', '.join(f'{name} {level_text(getattr(base, name))}' for name in DECIDED)}"


def _named(base: Any, grids: list[dict[str, Any]]) -> Iterator[str]:
    """The settings that a study names: in its base, as factors, and in what their levels bring."""
    for part in (*_mappings([base]), *grids):
        yield from part
    for grid in grids:
        for key, levels in grid.items():
            for level in _mappings(levels) if key != "recipe" else ():
                yield from level


def _level(level: Any, named: set[str]) -> Any:
    given = level if isinstance(level, dict) else {NAME: level}
    brought = _brought(given.get(NAME), named)
    return brought | given if brought else level


def _brought(recipe: Any, named: set[str]) -> dict[str, Any]:
    """What a recipe decides, without what is named; empty for a word that is none."""
    if not isinstance(recipe, str) or recipe not in RECIPES:
        return {}
    whole = {name: Settings.model_fields[name].default for name in DECIDED} | dict(RECIPES[recipe])
    return {name: value for name, value in whole.items() if name not in named}


def _mappings(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list | tuple) else []
