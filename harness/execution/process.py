"""Fit jobs in worker processes that live as long as the executor: one per GPU, or several per device."""

import pickle
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from multiprocessing.connection import Connection, wait
from typing import Any

from harness.errors import JobError
from harness.execution.executor import OnStart, each_epoch_once
from harness.execution.inline import outcomes_of
from harness.execution.schedule import CostEstimate, Schedule, Stack, by_epochs
from harness.processes import become_worker, require_importable, start_worker
from harness.store.results import Metrics, OnEpoch, Outcome
from harness.study.plan import Batch, Job
from harness.training.context import Context
from harness.training.device import computes
from harness.training.run import stacks

MAX_ATTEMPTS = 2  # of a job whose worker dies
CLEAN_UP_SECONDS = 5.0  # that workers have when they are ended


@dataclass(frozen=True)
class _Ended:
    """The outcomes of the jobs of a worker. last: its device computes no more, and it ends."""

    outcomes: list[Outcome]
    last: bool


Message = tuple[str, int, Metrics] | _Ended  # an epoch, or the end of all jobs


class ProcessExecutor:
    """Fits jobs in worker processes. A job whose worker dies is started again once, in another worker.

    devices: the device of each worker. estimate: the cost of a job; the longest start first.
    """

    def __init__(self, devices: Sequence[str], estimate: CostEstimate = by_epochs) -> None:
        self._devices, self._estimate = list(devices), estimate
        self._workers: dict[int, _Worker] = {}  # by the index in `devices`

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        schedule = Schedule(batches, self._estimate, partial(stacks, context=context))
        content = pickle.dumps(context)
        report, attempts = each_epoch_once(on_epoch), Counter[str]()
        try:
            while True:
                for job in chain.from_iterable(self._hand_out(schedule, content)):
                    attempts[job.id] += 1
                    if attempts[job.id] == 1:
                        on_start(job)
                busy = self._busy()
                if not busy:
                    return
                for worker, message in _messages(list(busy.values())):
                    if isinstance(message, tuple):
                        report(*message)
                        continue
                    stack = worker.release()
                    if message is None and worker.failed:
                        require_importable(__name__)
                    if message is not None:
                        if message.last:
                            self._end({place: each for place, each in self._workers.items() if each is worker})
                        yield from zip(stack, message.outcomes, strict=True)
                        continue
                    for job in stack:
                        if attempts[job.id] < MAX_ATTEMPTS:
                            schedule.put_back(job)
                        else:
                            yield job, _died(job, worker)
        finally:
            self._end(self._busy())

    def close(self) -> None:
        """Terminate the workers, which have some seconds to clean up."""
        self._end(dict(self._workers))

    def _busy(self) -> "dict[int, _Worker]":
        return {place: worker for place, worker in self._workers.items() if worker.stack}

    def _hand_out(self, schedule: Schedule, context: bytes) -> Iterator[Stack]:
        """Start jobs in every free worker, and return them. A dead worker is replaced."""
        for place, device in enumerate(self._devices):
            worker = self._workers.get(place)
            if worker is not None and worker.stack:
                continue
            stack = schedule.take(place)
            if stack is None:
                return
            if worker is None or not worker.begin(stack, context):
                self._workers[place] = _Worker(device)
                self._workers[place].begin(stack, context)
            yield stack

    def _end(self, workers: "dict[int, _Worker]") -> None:
        for worker in workers.values():
            worker.process.terminate()
        deadline = time.monotonic() + CLEAN_UP_SECONDS
        for place, worker in workers.items():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
            self._workers.pop(place, None)


class _Worker:
    """A worker process, the jobs that it runs, and the context that it has received."""

    def __init__(self, device: str) -> None:
        self.process, self.pipe = start_worker(_work, device)
        self.stack: Stack = ()
        self._context = b""

    def begin(self, stack: Stack, context: bytes) -> bool:
        """Hand over jobs; False if the worker is dead."""
        self.stack = stack
        try:
            if context is not self._context:
                self.pipe.send(context)
                self._context = context
            self.pipe.send(stack)
        except OSError:
            return False
        return True

    def release(self) -> Stack:
        """Mark the worker free, and return the jobs that it ran."""
        stack, self.stack = self.stack, ()
        return stack

    def receive(self) -> Message | None:
        """The next message of the worker; None if it is dead."""
        with suppress(EOFError, OSError):
            if self.pipe.poll():
                return self.pipe.recv()  # type: ignore[no-any-return]
        return None

    @property
    def failed(self) -> bool:
        """Whether an error outside of any job ended it, such as a failed import."""
        self.process.join()
        return bool(self.process.exitcode == 1)

    def ending(self) -> str:
        """How the process ended."""
        self.process.join()
        code = self.process.exitcode
        return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"


def _died(job: Job, worker: _Worker) -> JobError:
    killed = worker.process.exitcode == -signal.SIGKILL  # what the kernel does to a process that takes too much memory
    return JobError(
        job.id,
        f"its worker died {MAX_ATTEMPTS} times ({worker.ending()}){'; is there enough memory?' if killed else ''}",
    )


def _messages(workers: list[_Worker]) -> Iterator[tuple[_Worker, Message | None]]:
    """Wait for messages of workers; None for a worker that is dead."""
    ready = wait([handle for worker in workers for handle in (worker.pipe, worker.process.sentinel)])
    for worker in workers:
        if worker.pipe in ready or worker.process.sentinel in ready:
            yield worker, worker.receive()


def _work(device: str, pipe: "Connection[Any, Any]") -> None:
    """Run a worker: it receives contexts as bytes, and stacks of jobs to fit."""
    become_worker()
    context: Context | None = None
    while True:
        try:
            message: bytes | Stack = pipe.recv()
        except EOFError:
            return
        if isinstance(message, bytes):
            context = replace(pickle.loads(message), device=device)
        else:
            assert context is not None
            outcomes = outcomes_of(message, context, lambda *epoch: pipe.send(epoch))
            failed = any(isinstance(outcome, JobError) for outcome in outcomes)
            pipe.send(_Ended(outcomes, last=failed and not computes(device)))
