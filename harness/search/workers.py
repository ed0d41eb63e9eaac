"""Who runs the trials: this process, or several on one machine that tell this one what they do."""

import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from optuna.exceptions import UpdateFinishedTrialError

from harness.errors import JobError
from harness.processes import become_worker, require_importable, start_worker
from harness.search.objective import Listener, TrialRunner
from harness.search.queue import Queue
from harness.store import Store
from harness.store.results import Metrics
from harness.study import Study
from harness.study.plan import Job, Scenario
from harness.training.context import Context
from harness.training.device import spread_devices

MAX_DEATHS = 20  # of workers in a row, without a trial coming to its end


@dataclass(frozen=True)
class Task:
    """All that a worker needs; it can be pickled."""

    study: Study
    store: Store
    context: Context
    name: str  # of Optuna's study
    url: str | None
    workers: int
    deadline: float | None  # time.time() after which no trial begins

    @property
    def over(self) -> bool:
        """Whether no further trial may begin."""
        return self.deadline is not None and time.time() >= self.deadline

    def queue(self) -> Queue:
        """The queue of the search, opened."""
        assert self.study.search is not None
        return Queue(self.study.search, self.name, self.store, self.url)


def work(task: Task, queue: Queue, listener: Listener) -> None:
    """Takes trials from the queue until it is empty or time is up."""
    runner = TrialRunner(task.study, task.store, task.context, queue, listener)
    while not task.over:
        trial = queue.take(task.workers)
        if trial is None:
            return
        try:
            with queue.beating(trial):
                queue.tell(trial, *runner.run(trial))
        except UpdateFinishedTrialError:
            pass  # it was taken for dead, as of a machine that slept, and another worker does it
        except BaseException:
            queue.put_back(queue.trial(trial.number))
            raise
        listener.trial_ended(trial.number)


class Pool(Protocol):
    """What else the parent wants to know."""

    def job_abandoned(self, job: Job) -> None:
        """The worker that fitted this job died."""
        ...


class Boss(Listener, Pool, Protocol):
    """The parent of several workers."""


class Remote:
    """A Listener at the other end of a pipe."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe

    def trial_started(self, slot: int, number: int, scenario: Scenario) -> str | None:
        self._pipe.send(("trial_started", (slot, number, scenario)))
        run_id: str | None = self._pipe.recv()
        return run_id

    def job_started(self, job: Job) -> None:
        self._pipe.send(("job_started", (job,)))

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        self._pipe.send(("epoch", (job_id, epoch, metrics)))

    def job_ended(self, job: Job, error: JobError | None) -> None:
        self._pipe.send(("job_ended", (job, error)))

    def trial_ended(self, number: int) -> None:
        self._pipe.send(("trial_ended", (number,)))


def _worker(task: Task, pipe: "Connection[Any, Any]") -> None:
    """The main function of a worker process."""
    become_worker()
    try:
        work(task, task.queue(), Remote(pipe))
    except Exception:
        pipe.send(("crashed", (traceback.format_exc(),)))


def _on(task: Task, device: str) -> Task:
    return replace(task, context=replace(task.context, device=device))


class _Process:
    """A worker process, and what it is at."""

    def __init__(self, task: Task, device: str) -> None:
        self.device = device
        self.process, self.pipe = start_worker(_worker, _on(task, device))
        self.trial: int | None = None
        self.job: Job | None = None

    def deliver(self, boss: Boss) -> bool:
        """Passes one message on to the parent; False where the worker has ended."""
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
        reply = getattr(boss, name)(*arguments)
        if name == "trial_started":
            try:
                self.pipe.send(reply)
            except OSError:  # it died while it waited
                return False
        return True


def run_workers(task: Task, queue: Queue, boss: Boss) -> None:
    """Runs the trials that wait, in `task.workers` processes. One that dies is replaced, its trial put back."""
    devices = spread_devices(task.context.device, min(task.workers, queue.waiting))
    workers = [_Process(task, device) for device in devices]
    deaths = 0
    try:
        while workers:
            pipes: list[Any] = [worker.pipe for worker in workers]
            ready = wait(pipes)
            for worker in [w for w in workers if w.pipe in ready]:
                had_trial = worker.trial is not None
                if worker.deliver(boss):
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
                _bury(worker, queue, boss)
                if deaths > MAX_DEATHS:
                    raise RuntimeError(f"{deaths} workers in a row were killed; is there enough memory for so many?")
                if queue.waiting:
                    workers.append(_Process(task, worker.device))
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _bury(worker: _Process, queue: Queue, boss: Boss) -> None:
    if worker.job is not None:
        boss.job_abandoned(worker.job)
    if worker.trial is not None:
        queue.put_back(queue.trial(worker.trial))
