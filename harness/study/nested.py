"""The selection of a stage, nested: repeated without an outer fold, and scored on it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from harness.study.identity import digest
from harness.study.plan import Job, Scenario, refitted
from harness.study.scenario_state import ScenarioState
from harness.study.stage import Stage
from harness.study.study import Study
from harness.study.types import is_worst_group


@dataclass(frozen=True)
class OuterDigests:
    """The hashes of an outer fold, and of the folds within the rest, by (repeat, fold)."""

    outer: str
    inner: Mapping[tuple[int, int], str]


@dataclass(frozen=True)
class NestedDigests:
    """The hashes of all folds of a stage that nests its selection."""

    stage: str
    outer: tuple[OuterDigests, ...]


@dataclass(frozen=True)
class OuterState:
    """How far one outer fold is.

    inner: the scenarios of the stage, and of the stages before it, on the folds within the rest of the images. refit:
    the one that was selected by them, trained on all of the rest and scored on the outer fold; None: not selected yet.
    """

    inner: tuple[ScenarioState, ...]
    refit: ScenarioState | None = None

    @property
    def fits(self) -> list[ScenarioState]:
        """Everything that is fitted, as far as it is known."""
        return [*self.inner, *([self.refit] if self.refit else [])]

    @property
    def finished(self) -> bool:
        return self.refit is not None and self.refit.finished

    @property
    def missing(self) -> list[Job]:
        """The jobs that are known and not done."""
        return [job for fit in self.fits for job in fit.missing]


@dataclass(frozen=True)
class NestedState:
    """How far the nested selection of a stage is. planned: the number of fits, those that are not known yet too."""

    stage: Stage
    outer: tuple[OuterState, ...]
    planned: int

    @property
    def finished(self) -> bool:
        return all(fold.finished for fold in self.outer)

    @property
    def done(self) -> int:
        """The number of fits that are done."""
        return sum(len(fit.records) for fold in self.outer for fit in fold.fits)

    @property
    def refits(self) -> list[ScenarioState]:
        """What was selected without each outer fold, as far as that is known."""
        return [fold.refit for fold in self.outer if fold.refit]

    @property
    def chosen(self) -> dict[str, int]:
        """The names of the scenarios that were selected, and how often, the most frequent first."""
        return dict(Counter(refit.name for refit in self.refits).most_common())

    @cached_property
    def procedure(self) -> ScenarioState:
        """The refits of all outer folds as the folds of one scenario: the selection itself. Only where it is finished.

        Its settings are those of the first refit, and stand for nothing.
        """
        refits = self.refits
        jobs = tuple(job for refit in refits for job in refit.jobs)
        name = f"selection in stage {self.stage.name}"
        scenario = Scenario(digest([name, *(job.id for job in jobs)]), name, refits[0].settings)
        records = {job_id: record for refit in refits for job_id, record in refit.records.items()}
        scores = {job_id: found for refit in refits for job_id, found in refit.scores.items()}
        return ScenarioState(scenario, jobs, records, scores=scores)


def outer_study(study: Study, stage: str) -> Study:
    """The study as it is repeated without an outer fold: its stages up to this one, and no test set."""
    last = [each.name for each in study.stages].index(stage)
    return study.model_copy(update={"stages": study.stages[: last + 1], "test": None, "search": None})


def outer_refit(winner: ScenarioState) -> Scenario:
    """The scenario that was selected without an outer fold, as it is trained before it is scored on that fold.

    For a fixed number of epochs: images of the outer fold choose none, nor when to stop.
    """
    scenario = refitted(winner.scenario, [record.selected_epoch for record in winner.records.values()])
    if scenario.settings.select_epoch == "last":
        return scenario
    return replace(scenario, settings=scenario.settings.model_copy(update={"select_epoch": "last"}))


def nested_problem(study: Study, stage: Stage) -> str | None:
    """Why the selection of a stage cannot be nested; None where it can be, or is not to be."""
    select = stage.select
    if select is None or select.nested is None:
        return None
    if is_worst_group(select.metric):
        return (
            f"nested: {select.nested} with metric {select.metric}: an outer fold is scored as a whole; select by"
            f" {select.metric.partition(' ')[2]}, or leave nested out"
        )
    if not study.folds.is_drawn:
        return (
            f"nested: {select.nested} with folds by {study.folds.by}: outer folds are drawn as the study's folds are,"
            " and these are read; write folds: {by: random}, or leave nested out"
        )
    return None
