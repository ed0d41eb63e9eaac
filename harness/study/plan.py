"""The plan of a study as data: scenarios, jobs and batches with their ids and seeds. Nothing here is executed."""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.study.identity import (
    Digests,
    derive_seed,
    digest,
    numerics,
    pixels_identity,
    sets_identity,
    settings_identity,
)
from harness.study.settings import Pool, ResolvedSettings, Settings, level_text
from harness.study.study import Stage, Study


@dataclass(frozen=True)
class Scenario:
    """One point of a grid."""

    id: str
    name: str
    settings: ResolvedSettings


@dataclass(frozen=True)
class Job:
    """One fit. fold: None where all training images are used. evaluate: the split that is scored."""

    id: str
    scenario: Scenario
    repeat: int
    fold: int | None
    evaluate: Literal["val", "test"]
    seed: int
    rows: str | None = None  # the digest of the fold; None where all training images are used

    @property
    def name(self) -> str:
        """The name in the UI: `repeat 0, fold 2`."""
        if self.fold is None:
            return f"refit on {self.scenario.settings.trained_on}"
        return f"repeat {self.repeat}, fold {self.fold}"


@dataclass(frozen=True)
class Batch:
    """Jobs that share work and are fitted together."""

    key: str
    jobs: tuple[Job, ...]


def stage_scenarios(study: Study, stage: Stage, inherited: Settings | None, digests: Digests) -> list[Scenario]:
    """The scenarios of one stage in the order of its grid; the grid varies the settings of the last winner."""
    start = inherited or study.base
    scenarios: dict[str, Scenario] = {}
    for levels in itertools.product(*stage.grid.values()):
        settings = start.model_copy(update=dict(zip(stage.grid, levels, strict=True)))
        scenario = make_scenario(study, settings, study.factors, digests)
        scenarios.setdefault(scenario.id, scenario)  # `image_size: [null, 150]` may be the same size twice
    return list(scenarios.values())


def make_scenario(study: Study, settings: Settings, factors: Iterable[str], digests: Digests) -> Scenario:
    """The scenario with these settings, named after its levels of `factors`."""
    resolved = settings.resolved(study.data.image_size)
    return Scenario(digest(settings_identity(resolved, digests)), _name(study, resolved, factors), resolved)


def point_scenario(study: Study, point: Mapping[str, Any], digests: Digests) -> Scenario:
    """The scenario at a point of the search space."""
    settings = Settings.model_validate({**study.base.model_dump(), **point})
    return make_scenario(study, settings, [key for key in study.searched.space if key in point], digests)


def _name(study: Study, settings: Settings, factors: Iterable[str]) -> str:
    """The levels of all factors of the study, so that a scenario has the same name in every stage."""
    levels = [(key, study.as_written(getattr(settings, key))) for key in factors if settings.uses(key)]
    return " + ".join(_level(key, level) for key, level in levels) or study.study


def _level(key: str, level: Any) -> str:
    if isinstance(level, str):
        return json.dumps(level) if " + " in level else level  # one level must not look like two
    return f"{key}={level_text(level)}"


def fold_jobs(study: Study, scenario: Scenario, digests: Digests) -> list[Job]:
    """One job per fold and repeat, scored on the validation images."""
    return [_job(study, scenario, repeat, fold, "val", digests) for repeat, fold in sorted(digests.folds)]


def test_jobs(study: Study, scenario: Scenario, digests: Digests) -> list[Job]:
    """The jobs whose mean prediction on the test set is the scenario's: one refit, or one per fold."""
    if study.test is None or study.test.model == "refit":
        return [_job(study, scenario, 0, None, "test", digests)]
    return [_job(study, scenario, repeat, fold, "test", digests) for repeat, fold in sorted(digests.folds)]


def _job(
    study: Study, scenario: Scenario, repeat: int, fold: int | None, evaluate: Literal["val", "test"], digests: Digests
) -> Job:
    seed = derive_seed(study.seed, scenario.id, repeat, fold)
    rows = None if fold is None else digests.folds[repeat, fold]
    identity = {
        "numerics": numerics(scenario.settings),
        "settings": settings_identity(scenario.settings, digests),
        "manifest": digests.manifest,
        "rows": rows,
        "repeat": repeat,
        "fold": fold,
        "evaluate": evaluate,
        "seed": [study.seed, seed],
        **pixels_identity(study.data.pixel_rules),
        **(sets_identity(digests) if evaluate == "test" else {}),
    }
    return Job(digest(identity), scenario, repeat, fold, evaluate, seed, rows)


def batches(jobs: Iterable[Job]) -> list[Batch]:
    """The jobs in their order, grouped where they share the features of one frozen backbone."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(features_key(job.scenario.settings) or job.id, []).append(job)
    return [Batch(key, tuple(group)) for key, group in groups.items()]


def pools_of(jobs: Iterable[Job]) -> dict[str, frozenset[Pool]]:
    """The pools that the jobs read of each frozen backbone, by its `features_key`: one pass can give them all."""
    pools: dict[str, set[Pool]] = {}
    for settings in (job.scenario.settings for job in jobs):
        if key := features_key(settings):
            pools.setdefault(key, set()).add(settings.pooling)
    return {key: frozenset(found) for key, found in pools.items()}


def features_key(settings: Settings) -> str | None:
    """The key of the cached features that a job uses; None where the backbone is trained."""
    if settings.trainable != "head":
        return None
    return f"{settings.backbone}|{settings.weights}|{settings.image_size}|{settings.precision}"
