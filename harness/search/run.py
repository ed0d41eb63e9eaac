"""A search from its study file to its report. Start reading here.

study file -> prepare -> queue of slots (Optuna's storage) -> workers: trial -> point -> scenario -> fold jobs (ledger)
           -> MLflow (the parent alone) -> report, best scenario -> confirmation on fresh folds
"""

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.data.cached_inputs import cache_inputs
from harness.data.inputs import Workspace
from harness.data.record import write_record
from harness.data.separation import Separation
from harness.execution.fitter import make_context
from harness.execution.lasting_console import LOGS
from harness.execution.progress import Reporter
from harness.prepare import prepare, require_audited
from harness.report.numbers.marks import Marks
from harness.report.tables.tidy import html_table
from harness.runner import run_study
from harness.search.confirm import Confirmed, confirmed, write_best_study
from harness.search.queue import Queue
from harness.search.reuse import reuse_earlier
from harness.search.search_record import search_folder, write_search
from harness.search.search_report import report_folder, write_search_report
from harness.search.storage import check_storage
from harness.search.tracking import SearchRelay
from harness.search.trials import TrialResult, best_trial, shown, trial_marks, trial_results, trial_states, trials_frame
from harness.search.workers import SearchTask, WorkerEvents, run_workers, work
from harness.store import Store
from harness.store.reports import tell_of_other
from harness.study import Study
from harness.study.history import CommandLog
from harness.study.identity import search_id
from harness.study.mixed import require_one_code, require_one_version
from harness.study.number_words import number_of
from harness.study.provenance import code_digest, versions
from harness.study.rehearsal import with_trials
from harness.study.search_block import Point, Search
from harness.training.device import choose_device
from harness.training.preflight import require_usable

POLL_SECONDS = 2.0  # between two checks for trials of other machines


@dataclass(frozen=True)
class SearchRun:
    """How a search ended."""

    results: list[TrialResult]
    marks: Marks  # of the trials
    target: int
    lost: int  # trials without an end although there was time: their workers died too often
    timed_out: bool
    confirmed: Confirmed | None
    report: Path
    url: str
    separation: Separation

    @property
    def failed(self) -> int:
        """The number of trials that failed."""
        return sum(result.state == "failed" for result in self.results)

    def trials(self) -> pd.DataFrame:
        """A row for each trial that has ended, the best first; a column for each parameter."""
        return trials_frame(self.marks, self.results)

    def _repr_html_(self) -> str:
        """The trials for a notebook."""
        study = self.marks.study
        title = f"{study.study}, search: {len(self.results)} of {self.target} trials"
        return html_table(title, shown(study, self.trials()))


def run_search(
    study: Study, store: Store, device: str, reporter: Reporter, workers: int, trials: int | None, storage: str | None
) -> SearchRun:
    """Run the trials of the study's search that have not ended, and write its report.

    trials: the target, instead of the study file's. storage: the URL of Optuna's database; None: one in the store.
    Raises HarnessError before anything is trained where the request or the input is wrong.
    """
    study = study if trials is None else with_trials(study, trials)
    search = study.searched
    if storage is not None:
        check_storage(storage)
    device = str(choose_device(device))
    workspace = prepare(study, store)
    require_usable(workspace, device, reporter.say)
    name = f"{study.study}-{search_id(study, workspace.inputs.digests)}"
    require_audited(workspace, reporter.say, reporter.counting)
    context = make_context(workspace, device, reporter.counting)
    deadline = time.time() + search.timeout if search.timeout else None
    task = SearchTask(study, store, context, name, storage, workers, deadline)
    with store.locked(study.study):
        return _run(task, workspace, reporter)


def _run(task: SearchTask, workspace: Workspace, reporter: Reporter) -> SearchRun:
    """Run the search; the caller holds the lock of its study."""
    study, store, search = task.study, task.store, task.study.searched
    target, points = search.target(), _first_points(study, search)
    store.sweep()
    cache_inputs(workspace)
    queue = task.queue()
    queue.sweep()  # we hold the lock, so no other process on this store runs a trial
    reuse_earlier(workspace, queue, points, reporter.say)
    _require_one_origin(workspace, queue, target)
    write_record(workspace)
    write_search(workspace)
    log = CommandLog(search_folder(workspace), task.context.device)
    reporter.log_to(store.root / LOGS / f"{task.name}.log")
    with SearchRelay(workspace, queue, reporter.say, log) as relay:
        if queue.fill(target, points):
            done = len(queue.ended())
            trials = number_of(target, "trial")
            reporter.say(f"search {study.study}: {trials}, {done} done, {task.workers} at a time")
            _run_trials(task, queue, relay)
        results = relay.take_stock()
        missing = target - sum(result.slot < target for result in results)
        timed_out = bool(missing and task.over)
        best, confirmation = _confirm(workspace, results, task.context.device, reporter, run=not missing)
        place, identity = report_folder(workspace, empty=best is None), search_id(study, workspace.inputs.digests)
        tell_of_other(place, identity, reporter.say, "search")
        report = write_search_report(workspace, queue, results, best, confirmation)
        url = relay.publish_report(report.parent, whole=not missing)
    marks, lost = trial_marks(workspace, results), 0 if timed_out else missing
    separation = workspace.inputs.separation
    return SearchRun(results, marks, target, lost, timed_out, confirmation, report, url, separation)


def _require_one_origin(workspace: Workspace, queue: Queue, target: int) -> None:
    """Raise HarnessError where trials were fitted by other code or versions than the missing ones would be."""
    ended = trial_results(workspace, queue)
    states, all_done = trial_states(workspace, ended), len(ended) >= target
    require_one_code(states, None if all_done else code_digest())
    require_one_version(states, workspace.store.mixed_versions, None if all_done else versions())


def _first_points(study: Study, search: Search) -> list[Point]:
    """The points that the first trials try: those of the grid, or those that the study file enqueues."""
    if search.sampler == "grid":
        return search.points()
    base = study.base.model_dump()
    return [search.complete(given, base) for given in search.enqueue]


def _run_trials(task: SearchTask, queue: Queue, events: WorkerEvents) -> None:
    """Run trials until all have ended. Whatever stops this, no trial of a local search stays RUNNING.

    In a shared search, wait for the last trials of other machines, and take over those whose workers die.
    """
    try:
        while not task.over and (queue.waiting or (not queue.is_local and queue.running)):
            if not queue.waiting:
                time.sleep(POLL_SECONDS)
            elif task.workers == 1:
                work(task, queue, events)
            else:
                run_workers(task, queue, events)
            queue.sweep()  # a worker that died while it took a trial could not report it
    finally:
        if queue.is_local:
            queue.sweep()


def _confirm(
    workspace: Workspace, results: list[TrialResult], device: str, reporter: Reporter, run: bool
) -> tuple[Path | None, Confirmed | None]:
    """Write the study of the best scenario, `run` it if asked to, and return its file and its score on fresh folds."""
    study, store = workspace.study, workspace.store
    best = best_trial(study, results)
    if best is None:
        return None, None
    path, best_study = write_best_study(workspace, best)
    if run and study.searched.confirm is not None:
        run_study(best_study, store, device, reporter)
    return path, confirmed(prepare(best_study, store), study.searched.objective.metric)
