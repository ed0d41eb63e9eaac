"""How scenarios are named: by the levels of the factors, short, and different where the scenarios are."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.study.grid import Level
from harness.study.settings import Settings, level_text
from harness.study.stage import Stage
from harness.study.study import Study


def point_name(levels: Mapping[str, Any], more: Mapping[str, str] | None = None) -> str:
    """The name of a scenario with these levels: `dropout-gap + epochs=3`. more: what stands behind a level."""
    return " + ".join(f"{_part(key, level)}{(more or {}).get(key, '')}" for key, level in levels.items())


def _part(key: str, level: Any) -> str:
    if isinstance(level, str):
        return json.dumps(level) if " + " in level else level  # one level must not look like two
    return f"{key}={level_text(level)}"


class ScenarioNames:
    """The levels of all factors of a study as its names and tables show them.

    A level that brings settings with it is shown by its name; what it brings stands behind it only where that tells it
    from another level of the same name. A factor that does not exist at a scenario, because of `when`, is not shown.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._base = study.resolved(study.base)
        self._stages = {key: [stage for stage in study.stages if key in stage.factors] for key in study.factors}
        self._files = _file_names(settings.weights for _, settings in study.settings())
        self._telling = {key: self._told_apart(key) for key in study.factors}

    def levels(self, settings: Settings) -> dict[str, Any]:
        """The level of each factor that exists, as a cell of a table shows it."""
        shown = {key: self._study.as_written(getattr(settings, key)) for key in self._existing(settings)}
        more = {key: self._more(key, settings) for key in shown}
        return {key: f"{level_text(level)}{more[key]}" if more[key] else level for key, level in shown.items()}

    def name(self, settings: Settings) -> str:
        """The name of a scenario: the same in every stage."""
        shown = {key: self._study.as_written(getattr(settings, key)) for key in self._existing(settings)}
        return point_name(shown, {key: self._more(key, settings) for key in shown}) or self._study.study

    def _more(self, key: str, settings: Settings) -> str:
        """What tells a level from another one of the same name: ` (image_size=518)`; empty where nothing is needed."""
        names = self._telling[key].get(repr(getattr(settings, key)), ())
        told = [f"{name}={self._short(getattr(settings, name))}" for name in names]
        return f" ({', '.join(told)})" if told else ""

    def _short(self, value: Any) -> str:
        """The text of a setting; of a weights file its name alone, where no other file of the study has the same."""
        written = self._study.as_written(value)
        return self._files.get(value, written) if isinstance(value, str) else level_text(written)

    def _told_apart(self, key: str) -> dict[str, list[str]]:
        """The settings that tell levels of the same name apart, by this name."""
        found: dict[str, list[Level]] = {}
        for stage in self._stages[key]:
            for level in stage.factors[key]:
                found.setdefault(repr(level.value), []).append(level)
        if self._starts_without(key):
            base = getattr(self._study.base, key)
            found.setdefault(repr(base), []).append(Level(base))
        return {value: self._different(levels) for value, levels in found.items()}

    def _different(self, levels: list[Level]) -> list[str]:
        """The settings that these levels do not bring alike, without those that are factors and shown already."""
        names = dict.fromkeys(name for level in levels for name in level.brings if name not in self._stages)
        return [name for name in names if len({repr(level.brings.get(name, _NOT_BROUGHT)) for level in levels}) > 1]

    def _starts_without(self, key: str) -> bool:
        """Whether a scenario may have the level of the base, because no stage so far, or not always, gives another."""
        for stage in self._study.stages:
            if key not in stage.factors or key in stage.when:
                return True
            if stage.select:
                return False
        return False

    def _existing(self, settings: Settings) -> list[str]:
        """The factors that exist with these settings and decide something, and those that are not at their base."""
        differs = {key for key in self._stages if getattr(settings, key) != getattr(self._base, key)}
        return [
            key
            for key, stages in self._stages.items()
            if settings.uses(key) and (key in differs or any(_exists(key, stage, settings) for stage in stages))
        ]


def _file_names(weights: Iterable[str]) -> dict[str, str]:
    """The names of those files among these weights whose name is not that of another one."""
    names = {path: Path(path).name for path in weights if path.endswith(".safetensors")}
    counts = Counter(names.values())
    return {path: name for path, name in names.items() if counts[name] == 1}


_NOT_BROUGHT = object()


def _exists(key: str, stage: Stage, settings: Settings) -> bool:
    """Whether a factor of a stage exists with these settings, by its conditions and those of the factors in them."""
    return all(
        getattr(settings, other) in values and _exists(other, stage, settings)
        for other, values in stage.when.get(key, {}).items()
    )
