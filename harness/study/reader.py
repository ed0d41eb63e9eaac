"""Reads the state of a study from the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import LeakageError
from harness.store import Ledger
from harness.store.results import FoldRecord
from harness.study.identity import Digests
from harness.study.mixed import require_one_code
from harness.study.nested import NestedDigests, NestedState, OuterState, outer_refit, outer_study
from harness.study.plan import (
    Job,
    Scenario,
    fold_jobs,
    further_refits,
    refits,
    refitted,
    stage_scenarios,
    test_jobs,
)
from harness.study.scenario_names import ScenarioNames
from harness.study.scenario_state import ScenarioState
from harness.study.stage import Stage
from harness.study.state import StageState, StudyState
from harness.study.study import Study
from harness.study.types import is_worst_group
from harness.study.unit import BY_IMAGE, Unit, UnitScores, unit_scores
from harness.study.worst_group import At, ImageGroups, WorstGroup

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reading:
    """How the numbers of finished fits are read: in which unit, and in which groups the worst one is looked for.

    nested: the folds of stages that nest their selection.
    """

    unit: Unit = BY_IMAGE
    positive: str | None = None
    groups: ImageGroups | None = None  # of the unit; None: no stage selects by the worst group
    nested: tuple[NestedDigests, ...] = ()


OF_IMAGES = Reading()


class StateReader:
    """Reads the state of a study from the ledger: each record once, however often it is asked for.

    has_test: there are images to test on.
    """

    def __init__(
        self, study: Study, digests: Digests, ledger: Ledger, has_test: bool = True, reading: Reading = OF_IMAGES
    ) -> None:
        self._study, self._digests, self._ledger, self._has_test = study, digests, ledger, has_test
        self._records: dict[str, FoldRecord] = {}
        self._reading = reading
        self._scores: dict[str, UnitScores] = {}  # by the job
        self._worst: dict[tuple[str, ...], dict[str, WorstGroup]] = {}  # by the jobs
        self._without: dict[tuple[str, int], StateReader] = {}  # of a stage, without an outer fold of it

    def read(self, provisional: bool = False) -> StudyState:
        """The state of every stage, and of the scenarios to be scored on the test set.

        A stage that selects hands its winner on once all its jobs are done; with `provisional` its best finished
        scenario stands in, as in a run that had to go on past failures.
        """
        stages: list[StageState] = []
        start: Scenario | None = None
        waits_for: str | None = None
        for stage in self._study.stages:
            state = StageState(stage, (), waits_for) if waits_for else self.stage(stage, start)
            stages.append(state)
            if stage.select and not waits_for:
                best = state.best if state.finished or provisional else None
                start, waits_for = (best.scenario, None) if best else (start, stage.name)
        return StudyState(tuple(stages), self.tests(stages), self.nested())

    def nested(self) -> tuple[NestedState, ...]:
        """The state of each nested selection."""
        found = []
        for of in self._reading.nested:
            study, outer = outer_study(self._study, of.stage), range(len(of.outer))
            each = sum(stage.size for stage in study.stages) * len(self._digests.folds) + 1  # and the refit
            states = tuple(self.outer(of, number) for number in outer)
            found.append(NestedState(self._study.stage(of.stage), states, len(outer) * each))
        return tuple(found)

    def outer(self, of: NestedDigests, number: int) -> OuterState:
        """The state of one outer fold of a stage: it selects once all its fits on the inner folds are done."""
        study, digests = outer_study(self._study, of.stage), of.outer[number]
        if (of.stage, number) not in self._without:
            inner, reading = replace(self._digests, folds=digests.inner), replace(self._reading, nested=())
            self._without[of.stage, number] = StateReader(study, inner, self._ledger, False, reading)
        state = self._without[of.stage, number].read()
        winner = state.stages[-1].best if state.finished else None
        if winner is None:
            return OuterState(tuple(state.scenarios))
        name = ScenarioNames(self._study).name(winner.settings)  # as in the study, which may have further factors
        scenario = replace(outer_refit(winner), name=name)
        jobs = fold_jobs(study, scenario, replace(self._digests, folds={(0, number): digests.outer}))
        return OuterState(tuple(state.scenarios), self.scenario(scenario, jobs))

    def stage(self, stage: Stage, start: Scenario | None) -> StageState:
        """The state of one stage; `start` is the last winner."""
        scenarios = stage_scenarios(self._study, stage, start, self._digests)
        states = tuple(self.scenario(s, fold_jobs(self._study, s, self._digests)) for s in scenarios)
        require_one_code(states)
        return StageState(stage, states)

    def tests(self, stages: Iterable[StageState]) -> tuple[ScenarioState, ...]:
        """The scenarios to be scored on the test set, each once: winners of finished stages, or all where declared.

        None from behind a selecting stage that is not finished: what it lacks may yet change who went on from it.
        """
        study, chosen = self._study, dict[str, Scenario]()
        for state in stages if study.test and self._has_test else ():
            if state.stage.select and not state.finished:
                break
            if study.test and state.stage.name in study.test.stages:
                winner = [state.best] if state.best else []
                everyone = list(state.scenarios) if state.finished else []
                found = everyone if study.test.scenarios == "all" else winner
                chosen.update({s.id: self._tested(s) for s in found})
        return tuple(map(self._test, chosen.values()))

    def _test(self, scenario: Scenario) -> ScenarioState:
        """The state of a scenario on the test set, with that of its further refits."""
        further = further_refits(self._study, scenario, self._digests)
        state = self.scenario(scenario, test_jobs(self._study, scenario, self._digests))
        return replace(state, refits=self.scenario(scenario, further)) if further else state

    def _tested(self, state: ScenarioState) -> Scenario:
        """The scenario of a finished state as it is trained for the test set."""
        if not refits(self._study):
            return state.scenario
        return refitted(state.scenario, [record.selected_epoch for record in state.records.values()])

    def scenario(self, scenario: Scenario, jobs: Sequence[Job]) -> ScenarioState:
        """The state of one scenario.

        Every table starts here. Raises LeakageError for a stored fit of another fold: tables never mix fold
        assignments.
        """
        records = {job.id: record for job in jobs if (record := self._record(job.id)) is not None}
        for job in jobs:
            found = (records[job.id].facts.fold_digest or job.rows) if job.id in records else job.rows
            if found != job.rows:
                raise LeakageError(
                    f"{scenario.name}, {job.name}: {self._ledger.path(job.id)} was fitted on the fold {found}, and this"
                    f" study's is {job.rows}; one table never mixes fold assignments: remove that folder, and run the"
                    " study again"
                )
        worst, scores = self._worst_groups(jobs, records), self._unit_scores(jobs, records)
        return ScenarioState(scenario, tuple(jobs), records, worst, scores)

    def again(self, state: StudyState) -> StudyState:
        """The state of another reader as this one reads it: what was selected stays so."""
        stages = [
            replace(each, scenarios=tuple(map(self._again, each.scenarios)), chosen=each.best.id if each.best else None)
            for each in state.stages
        ]
        nested = [
            replace(each, outer=tuple(replace(f, refit=self._again(f.refit) if f.refit else None) for f in each.outer))
            for each in state.nested
        ]
        return StudyState(tuple(stages), tuple(map(self._again, state.tests)), tuple(nested))

    def _again(self, state: ScenarioState) -> ScenarioState:
        further = self._again(state.refits) if state.refits else None
        return replace(self.scenario(state.scenario, state.jobs), refits=further)

    def _unit_scores(self, jobs: Sequence[Job], records: Mapping[str, FoldRecord]) -> dict[str, UnitScores]:
        """The validation metrics of each finished job by patient; empty where the unit is the image."""
        reading = self._reading
        wanted = [job.id for job in jobs if reading.unit.patients and job.evaluate == "val" and job.id in records]
        for job_id in wanted:
            if job_id not in self._scores:
                self._scores[job_id] = unit_scores(
                    reading.unit, self._ledger.predictions(job_id), reading.positive, self._ledger.own
                )
        return {job_id: self._scores[job_id] for job_id in wanted}

    def _worst_groups(self, jobs: Sequence[Job], records: Mapping[str, FoldRecord]) -> dict[str, WorstGroup]:
        """The worst group of a finished scenario by each metric that a stage selects by."""
        asked = {stage.select.metric for stage in self._study.stages if stage.select}
        metrics = sorted(metric for metric in asked if is_worst_group(metric))
        validated = all(job.evaluate == "val" for job in jobs)
        unit, groups = self._reading.unit, self._reading.groups
        if groups is None or not metrics or not validated or len(records) < len(jobs):
            return {}
        key = tuple(job.id for job in jobs)
        if key not in self._worst:
            tables: dict[At, pd.DataFrame] = {
                (job.repeat, job.fold): unit.of(self._ledger.predictions(job.id)) for job in jobs
            }
            found = {metric: groups.worst(metric, tables) for metric in metrics}
            self._worst[key] = {metric: group for metric, group in found.items() if group is not None}
        return self._worst[key]

    def _record(self, job_id: str) -> FoldRecord | None:
        """The record of a job; None where it is not finished yet."""
        if job_id not in self._records and self._ledger.done(job_id):
            self._records[job_id] = self._ledger.record(job_id)
        return self._records.get(job_id)
