"""The plan of a study as data: scenarios, jobs and batches with their ids and seeds. Nothing here is executed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Any, Literal

from harness.study.allowed import Pool
from harness.study.grid import Inherited
from harness.study.identity import (
    Digests,
    derive_seed,
    digest,
    numerics,
    pixels_identity,
    sets_identity,
    settings_identity,
)
from harness.study.preprocessing import OF_STUDY
from harness.study.scenario_names import ScenarioNames, point_name
from harness.study.settings import ResolvedSettings, Settings
from harness.study.stage import Stage
from harness.study.study import Study


@dataclass(frozen=True)
class Scenario:
    """One point of a grid."""

    id: str
    name: str
    settings: ResolvedSettings
    handed_on: Inherited | None = field(default=None, compare=False)  # to the next stage, where this scenario wins
    trained: str | None = None  # the id of the scenario that trains the same network and asks it once; None: its own


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
    trained: str | None = None  # the id of the job that trains the same network and asks it once; None: its own
    refit: int = 0  # its number, where a scenario is trained several times on all training images

    @property
    def training(self) -> str:
        """What jobs share that train the same network and differ only in how it is asked."""
        return self.trained or self.id

    @property
    def name(self) -> str:
        """The name in the UI: `repeat 0, fold 2`."""
        if self.fold is None:
            number = f"refit {self.refit + 1}" if self.refit else "refit"
            return f"{number} on {self.scenario.settings.trained_on}"
        return f"repeat {self.repeat}, fold {self.fold}"


@dataclass(frozen=True)
class Batch:
    """Jobs that share work and are fitted together."""

    key: str
    jobs: tuple[Job, ...]


def stage_scenarios(study: Study, stage: Stage, winner: Scenario | None, digests: Digests) -> list[Scenario]:
    """The scenarios of one stage in the order of its grid; the grid varies the settings of the last winner."""
    # What was given, not what it was resolved to: other heads have epochs, other weights other native sizes.
    start, names = (winner and winner.handed_on) or Inherited(study.base), ScenarioNames(study)
    scenarios: dict[str, Scenario] = {}
    for point in stage.points():
        found = start.at(point)
        resolved = study.resolved(found.settings)
        scenario = _scenario(names.name(resolved), resolved, digests, found)
        scenarios.setdefault(scenario.id, scenario)  # `image_size: [null, 150]` may be the same size twice
    return list(scenarios.values())


def point_scenario(study: Study, point: Mapping[str, Any], digests: Digests) -> Scenario:
    """The scenario at a point of the search space, named after its active parameters."""
    settings = Settings.model_validate({**study.base.model_dump(), **point})
    resolved = study.resolved(settings)
    active = [key for key in study.searched.space if key in point and resolved.uses(key)]
    levels = {key: study.as_written(getattr(resolved, key)) for key in active}
    return _scenario(point_name(levels) or study.study, resolved, digests)


def _scenario(name: str, settings: ResolvedSettings, digests: Digests, handed_on: Inherited | None = None) -> Scenario:
    own, trained = (digest(settings_identity(each, digests)) for each in (settings, settings.trained))
    return Scenario(own, name, settings, handed_on, None if trained == own else trained)


def fold_jobs(study: Study, scenario: Scenario, digests: Digests) -> list[Job]:
    """One job per fold and repeat, scored on the validation images."""
    return [_job(study, scenario, at, "val", digests) for at in sorted(digests.folds)]


def refits(study: Study) -> bool:
    """Whether one network, trained on all training images, is what is scored on the test set."""
    return study.test is None or study.test.model == "refit"


def refitted(scenario: Scenario, epochs: Iterable[int]) -> Scenario:
    """The scenario as it is trained on all training images. epochs: after which its fits on the folds stopped.

    None is held out of a refit to see when to stop: it is trained for their median, the lower of two.
    """
    if not scenario.settings.stop_patience:
        return scenario
    never = {name: Settings.model_fields[name].default for name in ("stop_patience", "stop_inner", "stop_metric")}
    return replace(scenario, settings=scenario.settings.model_copy(update={**never, "epochs": median_low(epochs)}))


def test_jobs(study: Study, scenario: Scenario, digests: Digests) -> list[Job]:
    """The jobs whose mean prediction on the test set is the scenario's: one refit, or one per fold."""
    if refits(study):
        return [_job(study, scenario, (0, None), "test", digests)]
    return [_job(study, scenario, at, "test", digests) for at in sorted(digests.folds)]


def further_refits(study: Study, scenario: Scenario, digests: Digests) -> list[Job]:
    """The jobs of the refits after the first one, which differ from it in their seeds alone; empty by default."""
    refits = study.test.refits if study.test else 1
    return [_job(study, scenario, (0, None), "test", digests, refit) for refit in range(1, refits)]


def _job(
    study: Study, scenario: Scenario, at: tuple[int, int | None], evaluate: Literal["val", "test"], digests: Digests,
    refit: int = 0,
) -> Job:  # fmt: skip
    """The job of a scenario at these coordinates, a repeat and a fold."""
    repeat, fold = at
    further: tuple[int | str, ...] = ("refit", refit) if refit else ()
    settings = scenario.settings
    seed = derive_seed(study.seed, scenario.trained or scenario.id, repeat, fold, *further)
    rows = None if fold is None else digests.folds[repeat, fold]
    identity = {
        "numerics": numerics(settings),
        "settings": settings_identity(settings, digests),
        "manifest": digests.manifest,
        "rows": rows,
        "repeat": repeat,
        "fold": fold,
        "evaluate": evaluate,
        "seed": [study.seed, seed],
        **({"refit": refit} if refit else {}),
        **pixels_identity(study.data.pixel_rules),
        **(sets_identity(digests) if evaluate == "test" else {}),
    }
    trained = (
        digest(identity | {"settings": settings_identity(settings.trained, digests)}) if scenario.trained else None
    )
    return Job(digest(identity), scenario, repeat, fold, evaluate, seed, rows, trained, refit)


def batches(jobs: Iterable[Job]) -> list[Batch]:
    """The jobs in their order, grouped where they share a training, or the features of one frozen backbone."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(features_key(job.scenario.settings) or job.training, []).append(job)
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
    key = f"{settings.backbone}|{settings.weights}|{settings.image_size}|{settings.precision}"
    return key if settings.preprocessing == OF_STUDY else f"{key}|{settings.preprocessing}"
