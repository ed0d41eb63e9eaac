"""Run one trial, from its point to its value: a scenario whose folds are fitted as jobs, one after the other."""

from dataclasses import replace
from statistics import mean
from typing import Protocol

from filelock import FileLock
from optuna.trial import Trial, TrialState

from harness.data.pixels import pixel_cache
from harness.errors import HarnessError
from harness.execution.executor import JobEvents
from harness.execution.fitter import Fitter
from harness.execution.inline import InlineExecutor
from harness.models.load_metrics import own_scores
from harness.search.queue import Queue
from harness.search.samplers import suggest
from harness.store import Ledger, Store
from harness.store.results import FoldRecord
from harness.study import Study
from harness.study.fit_costs import mean_cost
from harness.study.plan import Job, Scenario, fold_jobs, point_scenario
from harness.study.preprocessing import Framing
from harness.study.search_block import Objective
from harness.training.context import Context


class TrialEvents(JobEvents, Protocol):
    """Follows trials and their jobs. A worker process reports to its parent, which alone writes to MLflow.

    `job_ended` is also called for a job whose record was in the ledger before.
    """

    def trial_started(self, slot: int, number: int, scenario: Scenario) -> str | None:
        """A trial starts. Return the id of its MLflow run; None while the tracking server is lost."""
        ...

    def trial_ended(self, number: int) -> None:
        """A trial has its final state in Optuna's storage."""
        ...


def value_of(objective: Objective, records: list[FoldRecord]) -> float:
    """The mean of the objective's metric over these folds."""
    return mean(record.metrics[objective.metric] for record in records)


def cost_of(objective: Objective, records: list[FoldRecord]) -> float:
    """The mean cost of a fold. Raises HarnessError where a fit did not record it."""
    assert objective.cost is not None
    return mean_cost(objective.cost, records, f"objective.cost {objective.cost}")


def values_of(objective: Objective, records: list[FoldRecord]) -> list[float]:
    """The values of a trial with these folds: that of the metric, and the cost where there is one."""
    return [value_of(objective, records), *([cost_of(objective, records)] if objective.cost else [])]


class TrialRunner:
    """Runs trials one after the other."""

    def __init__(self, study: Study, store: Store, context: Context, queue: Queue, events: TrialEvents) -> None:
        self._study, self._search, self._store = study, study.searched, store
        self._digests, self._queue, self._events = context.digests, queue, events
        self._ledger, self._context = Ledger(store, own_scores(study, context.heads)), context

    def run(self, trial: Trial) -> tuple[TrialState, list[float] | None]:
        """Run a trial, and return its final state and its values.

        FAIL where a fold failed, or where another trial holds its slot. The trial's user attribute `error` says why a
        fold failed.
        """
        if self._queue.is_second(trial):
            return TrialState.FAIL, None
        scenario = point_scenario(self._study, suggest(self._search, trial), self._digests)
        run_id = self._events.trial_started(trial.user_attrs["slot"], trial.number, scenario)
        trial.set_user_attr("scenario_id", scenario.id)
        if run_id is not None:
            trial.set_user_attr("mlflow_run_id", run_id)
        objective, records = self._search.objective, list[FoldRecord]()
        jobs = fold_jobs(self._study, scenario, self._digests)
        for step, job in enumerate(jobs):
            record = self._fit(job)
            if record is None:
                trial.set_user_attr("error", f"{job.name} failed; see its run in MLflow")
                return TrialState.FAIL, None
            records.append(record)
            if objective.cost is None:
                trial.report(value_of(objective, records), step)
                if self._search.prunes and step < len(jobs) - 1 and trial.should_prune():
                    return TrialState.PRUNED, None
        try:
            return TrialState.COMPLETE, values_of(objective, records)
        except HarnessError as error:
            trial.set_user_attr("error", str(error))
            return TrialState.FAIL, None

    def _fit(self, job: Job) -> FoldRecord | None:
        """Fit a job, unless its record is in the ledger, and return the record; None where the fit failed.

        Under a lock, so that no two workers fit the same job.
        """
        with self._lock(job.id):
            if self._ledger.done(job.id):
                self._events.job_ended(job, self._ledger.record(job.id))
            else:
                self._fitter(job.scenario.settings.framing).run([job])
        return self._ledger.record(job.id) if self._ledger.done(job.id) else None

    def _fitter(self, framing: Framing) -> Fitter:
        """The fitter for these squares. Those that occur for the first time in the search are decoded first."""
        if framing not in self._context.pixels:
            with self._lock(f"pixels-{framing}"):
                path = pixel_cache(self._context.dataset.framed(framing.preprocessing), framing.size, self._store)
            self._context = replace(self._context, pixels={**self._context.pixels, framing: path})
        return Fitter(self._ledger, self._context, InlineExecutor(), [self._events])

    def _lock(self, name: str) -> FileLock:
        locks = self._store.locks / "jobs"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{name}.lock")
