"""Reads the state of a study from the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import LeakageError
from harness.store import Ledger
from harness.store.results import FoldRecord
from harness.study.identity import Digests
from harness.study.plan import Job, Scenario, fold_jobs, stage_scenarios, test_jobs
from harness.study.settings import Settings
from harness.study.state import ScenarioState, StageState, StudyState, require_one_code
from harness.study.study import Stage, Study
from harness.study.types import is_worst_group
from harness.study.worst_group import At, ImageGroups, WorstGroup

if TYPE_CHECKING:
    import pandas as pd


class StateReader:
    """Reads the state of a study from the ledger: each record once, however often it is asked for.

    has_test: there are images to test on. groups: for the metrics of the worst group that stages select by.
    """

    def __init__(
        self, study: Study, digests: Digests, ledger: Ledger, has_test: bool = True, groups: ImageGroups | None = None
    ) -> None:
        self._study, self._digests, self._ledger, self._has_test = study, digests, ledger, has_test
        self._records: dict[str, FoldRecord] = {}
        self._groups = groups
        self._worst: dict[tuple[str, ...], dict[str, WorstGroup]] = {}  # by the jobs

    def read(self, provisional: bool = False) -> StudyState:
        """The state of every stage, and of the scenarios to be scored on the test set.

        A stage that selects hands its winner on once all its jobs are done; with `provisional` its best finished
        scenario stands in, as in a run that had to go on past failures.
        """
        stages: list[StageState] = []
        start: Settings | None = None
        waits_for: str | None = None
        for stage in self._study.stages:
            state = StageState(stage, (), waits_for) if waits_for else self.stage(stage, start)
            stages.append(state)
            if stage.select and not waits_for:
                best = state.best if state.finished or provisional else None
                start, waits_for = (best.settings, None) if best else (start, stage.name)
        return StudyState(tuple(stages), self.tests(stages))

    def stage(self, stage: Stage, start: Settings | None) -> StageState:
        """The state of one stage; `start` are the settings of the last winner."""
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
                chosen.update({s.id: s.scenario for s in found})
        return tuple(self.scenario(s, test_jobs(study, s, self._digests)) for s in chosen.values())

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
        return ScenarioState(scenario, tuple(jobs), records, self._worst_groups(jobs, records))

    def _worst_groups(self, jobs: Sequence[Job], records: Mapping[str, FoldRecord]) -> dict[str, WorstGroup]:
        """The worst group of a finished scenario by each metric that a stage selects by."""
        asked = {stage.select.metric for stage in self._study.stages if stage.select}
        metrics = sorted(metric for metric in asked if is_worst_group(metric))
        validated = all(job.evaluate == "val" for job in jobs)
        if self._groups is None or not metrics or not validated or len(records) < len(jobs):
            return {}
        key = tuple(job.id for job in jobs)
        if key not in self._worst:
            tables: dict[At, pd.DataFrame] = {(job.repeat, job.fold): self._ledger.predictions(job.id) for job in jobs}
            found = {metric: self._groups.worst(metric, tables) for metric in metrics}
            self._worst[key] = {metric: group for metric, group in found.items() if group is not None}
        return self._worst[key]

    def _record(self, job_id: str) -> FoldRecord | None:
        """The record of a job; None where it is not finished yet."""
        if job_id not in self._records and self._ledger.done(job_id):
            self._records[job_id] = self._ledger.record(job_id)
        return self._records.get(job_id)
