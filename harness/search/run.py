"""A search from its study file to its report. Start reading here.

study file -> prepare -> queue of slots (Optuna's storage) -> workers: trial -> point -> scenario -> fold jobs (ledger)
           -> MLflow (the parent alone) -> report, best scenario -> confirmation on fresh folds
"""

import time
from dataclasses import dataclass

from harness.ledger import Ledger
from harness.models.backbone import check_weights
from harness.plan import search_id
from harness.prepare import Inputs, prepare
from harness.progress import Reporter
from harness.runner import make_context
from harness.search.publish import SearchPublisher
from harness.search.queue import Queue
from harness.search.results import TrialResult, trial_results
from harness.search.workers import Task, run_workers, work
from harness.search_block import Point, Search
from harness.store import Store
from harness.study import Study
from harness.training.device import choose_device


@dataclass(frozen=True)
class SearchRun:
    """How a search ended."""

    results: list[TrialResult]
    target: int
    lost: int  # trials whose workers died again and again, or that time was too short for
    timed_out: bool
    url: str

    @property
    def failed(self) -> int:
        """The number of trials that failed."""
        return sum(result.state == "failed" for result in self.results)


def run_search(
    study: Study, store: Store, device: str, reporter: Reporter, workers: int, trials: int | None, url: str | None
) -> SearchRun:
    """Every trial of the study's search that is not there yet; then its report.

    trials: the target, instead of the file's. url: Optuna's storage, where it is not the store's own.
    Raises HarnessError before anything is trained where the request or the input is wrong.
    """
    search = study.search
    if search is None:
        raise study.error(("search",), "the study has no search: block; add `search: {space: ..., trials: 40}`")
    device = str(choose_device(device))
    inputs = prepare(study, store)
    check_weights(settings for _, settings in study.settings())
    name = f"{study.study}-{search_id(study, inputs.digests)}"
    target, points = search.target(trials), _first_points(study, search)
    started = time.time()
    with store.locked(study.study):
        queue = Queue(search, name, store, url)
        if queue.own:
            queue.sweep()  # the lock is ours, so whoever ran these is gone
        with SearchPublisher(study, inputs, store, search_id(study, inputs.digests), queue, reporter) as publisher:
            publisher.target = target
            deadline = started + search.timeout if search.timeout else None
            if queue.fill(target, points):
                reporter.say(f"search {study.study}: {target} trials, {len(queue.ended())} done, {workers} at a time")
                context = make_context(study, inputs, store, device, reporter)
                task = Task(study, store, context, name, url, workers, deadline)
                _run_trials(task, queue, publisher)
            return _finish(study, inputs, store, queue, publisher, target, deadline)


def _first_points(study: Study, search: Search) -> list[Point]:
    """The points that the first trials are to try."""
    if search.sampler == "grid":
        return search.points()
    base = study.base.model_dump()
    return [search.complete(given, base) for given in search.enqueue]


def _run_trials(task: Task, queue: Queue, publisher: SearchPublisher) -> None:
    """Works until nothing waits. Whatever ends this, no trial of this store's own search stays RUNNING."""
    try:
        while queue.waiting and not (task.deadline and time.time() > task.deadline):
            if task.workers == 1:
                work(task, queue, publisher)
            else:
                run_workers(task, queue, publisher)
            if queue.own:
                queue.sweep()  # a worker that died as it took a trial has told nobody
    finally:
        if queue.own:
            queue.sweep()


def _finish(
    study: Study,
    inputs: Inputs,
    store: Store,
    queue: Queue,
    publisher: SearchPublisher,
    target: int,
    deadline: float | None,
) -> SearchRun:
    """Brings MLflow up to date from the ledger and Optuna's storage, and writes the report."""
    results = trial_results(study, queue, inputs.digests, Ledger(store))
    for result in results:
        publisher.publish(result)
    missing = target - sum(result.slot < target for result in results)
    publisher.whole = not missing
    timed_out = bool(missing and deadline and time.time() > deadline)
    return SearchRun(results, target, 0 if timed_out else missing, timed_out, publisher.leaderboard_url())
