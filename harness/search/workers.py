"""Run the trials of a search in this process, or in several worker processes that send it their events."""

import sys
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from optuna.exceptions import UpdateFinishedTrialError

from harness.errors import JobError
from harness.processes import become_worker, require_importable, start_worker
from harness.search.objective import TrialEvents, TrialRunner
from harness.search.queue import Queue
from harness.store import Store
from harness.store.results import FoldRecord, Metrics
from harness.study import Study
from harness.study.plan import Job, Scenario
from harness.training.context import Context
from harness.training.device import computes, spread_devices

MAX_DEATHS = 20  # of workers, without an ended trial between them


@dataclass(frozen=True)
class SearchTask:
    """Everything that a worker needs; it can be pickled."""

    study: Study
    store: Store
    context: Context
    name: str  # of Optuna's study
    url: str | None
    workers: int
    deadline: float | None  # time.time() after which no trial starts

    @property
    def over(self) -> bool:
        """Whether the time is up: no further trial may start."""
        return self.deadline is not None and time.time() >= self.deadline

    def queue(self) -> Queue:
        """Open the queue of the search."""
        return Queue(self.study.searched, self.name, self.store, self.url)


def work(task: SearchTask, queue: Queue, events: TrialEvents) -> None:
    """Run trials from the queue until it is empty or time is up."""
    runner = TrialRunner(task.study, task.store, task.context, queue, events)
    while not task.over:
        trial = queue.take(task.workers)
        if trial is None:
            return
        try:
            with queue.heartbeats(trial):
                queue.tell(trial, *runner.run(trial))
        except UpdateFinishedTrialError:
            pass  # this machine may have slept: another worker has taken the trial over
        except BaseException:
            queue.put_back(queue.trial(trial.number))
            raise
        events.trial_ended(trial.number)


class WorkerEvents(TrialEvents, Protocol):
    """Follows the trials of several workers, any of which may die."""

    def job_abandoned(self, job: Job) -> None:
        """The worker that fitted this job died."""
        ...


class PipeEvents:
    """Sends the events of a worker's trials to its parent."""

    def __init__(self, pipe: "Connection[Any, Any]", device: str) -> None:
        self._pipe, self._device = pipe, device

    def trial_started(self, slot: int, number: int, scenario: Scenario) -> str | None:
        self._pipe.send(("trial_started", (slot, number, scenario)))
        run_id: str | None = self._pipe.recv()
        return run_id

    def job_started(self, job: Job) -> None:
        self._pipe.send(("job_started", (job,)))

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        self._pipe.send(("epoch", (job_id, epoch, metrics)))

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        self._pipe.send(("job_ended", (job, outcome)))

    def trial_ended(self, number: int) -> None:
        self._pipe.send(("trial_ended", (number,)))
        if not computes(self._device):
            sys.exit(3)  # it would fail every other trial at once; a new process takes the next


def _worker(task: SearchTask, pipe: "Connection[Any, Any]") -> None:
    """The main function of a worker process."""
    become_worker()
    try:
        work(task, task.queue(), PipeEvents(pipe, task.context.device))
    except Exception:
        pipe.send(("crashed", (traceback.format_exc(),)))


def _on(task: SearchTask, device: str) -> SearchTask:
    """The same task on another device."""
    return replace(task, context=replace(task.context, device=device))


class _Process:
    """A worker process with the trial and the job that it runs."""

    def __init__(self, task: SearchTask, device: str) -> None:
        self.device = device
        self.process, self.pipe = start_worker(_worker, _on(task, device))
        self.trial: int | None = None
        self.job: Job | None = None

    def deliver(self, events: WorkerEvents) -> bool:
        """Pass on one message of the worker; False where it has ended."""
        try:
            name, arguments = self.pipe.recv()
        except (EOFError, OSError):
            return False
        if name == "crashed":
            raise RuntimeError(f"a worker of the search failed:\n{arguments[0]}")
        if name == "trial_started":
            self.trial = arguments[1]
        elif name == "trial_ended":
            self.trial = None
        elif name in ("job_started", "job_ended"):
            self.job = arguments[0] if name == "job_started" else None
        reply = getattr(events, name)(*arguments)
        if name == "trial_started":
            try:
                self.pipe.send(reply)
            except OSError:  # it died while it waited
                return False
        return True


def run_workers(task: SearchTask, queue: Queue, events: WorkerEvents) -> None:
    """Run the waiting trials in `task.workers` processes. One that dies is replaced, and its trial put back."""
    devices = spread_devices(task.context.device, min(task.workers, queue.waiting))
    workers = [_Process(task, device) for device in devices]
    deaths = 0
    try:
        while workers:
            pipes: list[Any] = [worker.pipe for worker in workers]
            ready = wait(pipes)
            for worker in [w for w in workers if w.pipe in ready]:
                had_trial = worker.trial is not None
                if worker.deliver(events):
                    if had_trial and worker.trial is None:
                        deaths = 0
                    continue
                workers.remove(worker)
                worker.process.join()
                if worker.process.exitcode == 0:
                    continue
                if worker.process.exitcode == 1:
                    require_importable(__name__)
                deaths += 1
                _recover(worker, queue, events)
                if deaths > MAX_DEATHS:
                    raise RuntimeError(f"{deaths} workers in a row were killed; is there enough memory for so many?")
                if queue.waiting:
                    workers.append(_Process(task, worker.device))
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _recover(worker: _Process, queue: Queue, events: WorkerEvents) -> None:
    """Put the trial of a dead worker back into the queue."""
    if worker.job is not None:
        events.job_abandoned(worker.job)
    if worker.trial is not None:
        queue.put_back(queue.trial(worker.trial))
