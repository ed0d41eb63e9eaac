"""Reads the state of a study from the ledger."""

from collections.abc import Iterable, Sequence

from harness.errors import LeakageError
from harness.store import Ledger
from harness.store.results import FoldRecord
from harness.study.identity import Digests
from harness.study.plan import Job, Scenario, fold_jobs, stage_scenarios, test_jobs
from harness.study.settings import Settings
from harness.study.state import ScenarioState, StageState, StudyState, require_one_code
from harness.study.study import Stage, Study


class StateReader:
    """Reads the state of a study from the ledger: each record once, however often it is asked for.

    has_test: there are images to test on.
    """

    def __init__(self, study: Study, digests: Digests, ledger: Ledger, has_test: bool = True) -> None:
        self._study, self._digests, self._ledger, self._has_test = study, digests, ledger, has_test
        self._records: dict[str, FoldRecord] = {}

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
        return ScenarioState(scenario, tuple(jobs), records)

    def _record(self, job_id: str) -> FoldRecord | None:
        """The record of a job; None where it is not finished yet."""
        if job_id not in self._records and self._ledger.done(job_id):
            self._records[job_id] = self._ledger.record(job_id)
        return self._records.get(job_id)
