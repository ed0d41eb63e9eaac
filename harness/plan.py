"""What is to be fitted, as data: scenarios, jobs, batches, their ids and their seeds. Nothing here does work."""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.settings import Settings, decisive, level_text
from harness.study import Stage, Study

PLACES = {"path", "on_bad_image"}  # of `data`: how the manifest came about, whose digest is part of every id
NUMERICS = 4  # raise it when a change of the code changes results: every job gets a new id
# 4: what timm trained behind its pooling is no longer left out, class and register tokens are no places of a map, and
# parameters that nothing reads are not trained or counted


@dataclass(frozen=True)
class Digests:
    """The hashes of all that comes from outside the study file."""

    manifest: str
    folds: Mapping[tuple[int, int], str]  # (repeat, fold)
    weights: Mapping[tuple[str, str], str]  # (backbone, weights)
    heads: Mapping[str, str] = field(default_factory=dict)  # the user's own heads, by their source

    @property
    def all_folds(self) -> str:
        """The hash of the whole fold assignment."""
        return digest([[*key, value] for key, value in sorted(self.folds.items())])


@dataclass(frozen=True)
class Scenario:
    """One point of a grid, all settings resolved. `image_size` is never None here."""

    id: str
    name: str
    settings: Settings


@dataclass(frozen=True)
class Job:
    """One fit. `fold` is None where all training images are used; `evaluate` is the split that is scored."""

    id: str
    scenario: Scenario
    repeat: int
    fold: int | None
    evaluate: Literal["val", "test"]
    seed: int
    rows: str | None = None  # the digest of the fold; None where all training images are used

    @property
    def name(self) -> str:
        """The words for it in the UI: `repeat 0, fold 2`."""
        if self.fold is None:
            return "refit on all training images"
        return f"repeat {self.repeat}, fold {self.fold}"


@dataclass(frozen=True)
class Batch:
    """Jobs that share work and are fitted together."""

    key: str
    jobs: tuple[Job, ...]


def digest(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derive_seed(*coordinates: int | str | None) -> int:
    """A seed in [0, 2**31) from where a fit stands, never from when it runs."""
    return int(digest(list(coordinates)), 16) % 2**31


def stage_scenarios(study: Study, stage: Stage, inherited: Settings | None, digests: Digests) -> list[Scenario]:
    """The scenarios of one stage in the order of its grid, over the settings of the last winner."""
    start = inherited or study.base
    scenarios: dict[str, Scenario] = {}
    for levels in itertools.product(*stage.grid.values()):
        settings = start.model_copy(update=dict(zip(stage.grid, levels, strict=True)))
        scenario = make_scenario(study, settings, study.factors, digests)
        scenarios.setdefault(scenario.id, scenario)  # `image_size: [null, 150]` may be one size twice
    return list(scenarios.values())


def make_scenario(study: Study, settings: Settings, factors: Iterable[str], digests: Digests) -> Scenario:
    """The scenario with these settings, named after its levels of `factors`."""
    settings = settings.resolved(study.data.image_size)
    return Scenario(digest(_identity(settings, digests)), _name(study, settings, factors), settings)


def point_scenario(study: Study, point: Mapping[str, Any], digests: Digests) -> Scenario:
    """The scenario at a point of the space that the study is searched in."""
    assert study.search is not None
    settings = Settings.model_validate({**study.base.model_dump(), **point})
    return make_scenario(study, settings, [key for key in study.search.space if key in point], digests)


def _name(study: Study, settings: Settings, factors: Iterable[str]) -> str:
    """The levels of all the study's factors, so that a scenario has one name in every stage."""
    levels = [(key, study.as_written(getattr(settings, key))) for key in factors]
    return " + ".join(_level(key, level) for key, level in levels) or study.study


def _level(key: str, level: Any) -> str:
    if isinstance(level, str):
        return json.dumps(level) if " + " in level else level  # no level may look like two
    return f"{key}={level_text(level)}"


def fold_jobs(study: Study, scenario: Scenario, digests: Digests) -> list[Job]:
    """One job for each fold of each repeat, scored on its validation images."""
    return [_job(study, scenario, repeat, fold, "val", digests) for repeat, fold in sorted(digests.folds)]


def test_jobs(study: Study, scenario: Scenario, digests: Digests) -> list[Job]:
    """The jobs whose mean prediction on the test set is the scenario's: one refit, or one for each fold."""
    if study.test is None or study.test.model == "refit":
        return [_job(study, scenario, 0, None, "test", digests)]
    return [_job(study, scenario, repeat, fold, "test", digests) for repeat, fold in sorted(digests.folds)]


def _job(
    study: Study, scenario: Scenario, repeat: int, fold: int | None, evaluate: Literal["val", "test"], digests: Digests
) -> Job:
    seed = derive_seed(study.seed, scenario.id, repeat, fold)
    rows = None if fold is None else digests.folds[repeat, fold]
    identity = {
        "numerics": NUMERICS,
        "settings": _identity(scenario.settings, digests),
        "manifest": digests.manifest,
        "rows": rows,
        "repeat": repeat,
        "fold": fold,
        "evaluate": evaluate,
        "seed": [study.seed, seed],
    }
    return Job(digest(identity), scenario, repeat, fold, evaluate, seed, rows)


def _identity(settings: Settings, digests: Digests) -> dict[str, Any]:
    """The settings as they decide the numbers: the weights by their content, not by their path."""
    values = decisive(settings.model_dump())
    values["weights"] = digests.weights[settings.backbone, settings.weights]
    if settings.head in digests.heads:
        values["head"] = [settings.head, digests.heads[settings.head]]
    return values


def batches(jobs: Iterable[Job]) -> list[Batch]:
    """The jobs in their order, those that can share the features of one frozen backbone together."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(features_key(job.scenario.settings) or job.id, []).append(job)
    return [Batch(key, tuple(group)) for key, group in groups.items()]


def weights_file(weights: str) -> Path:
    """The path of a weights file as a study names it."""
    return Path(os.path.expanduser(weights))  # noqa: PTH111 - pathlib raises for an unknown user


def features_key(settings: Settings) -> str | None:
    """What the features of a frozen backbone depend on; None where the backbone is trained."""
    if settings.trainable != "head":
        return None
    return f"{settings.backbone}|{settings.weights}|{settings.image_size}|{settings.precision}"


def search_id(study: Study, digests: Digests) -> str:
    """The hash of a search and of all that it reads; not of how far it is to go (trials, timeout, confirm)."""
    content = study.model_dump(
        include={"study": True, "data": True, "folds": True, "base": True, "seed": True, "search": True},
        exclude={"data": PLACES, "base": {"weights"}, "search": {"trials", "timeout", "confirm"}},
    )
    content["base"] = decisive(content["base"])
    return _whole_id(content, digests)


def study_id(study: Study, digests: Digests) -> str:
    """The hash of the study and of all that it reads: runs and tables of different ids are never mixed."""
    aside: Any = {
        "description": True,
        "search": True,
        "paper": True,
        "checkpoint_every": True,
        "data": PLACES,
        "base": {"weights"},
    }
    content = study.model_dump(exclude=aside)
    content["base"] = decisive(content["base"])
    if study.test and study.test.scenarios == "winner":
        del content["test"]["scenarios"]  # younger than the first results, as it is by default
    for stage in content["stages"]:
        stage["grid"].pop("weights", None)  # paths; their content is in the digests
    return _whole_id(content, digests)


def _whole_id(content: dict[str, Any], digests: Digests) -> str:
    """The hash of what a study file says and of all that it reads."""
    heads = [dict(digests.heads)] if digests.heads else []
    weights = sorted(digests.weights.values())
    return digest([NUMERICS, content, digests.manifest, digests.all_folds, weights, *heads])
