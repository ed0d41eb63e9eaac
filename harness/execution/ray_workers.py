"""The worker processes on a Ray cluster, each an actor: it has its GPU or its cores to itself as long as it lives.

Ray gives the worker processes of tasks other GPUs from task to task, but one that has used CUDA stays on its first.
"""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from harness.errors import HarnessError, JobError, first_line
from harness.execution.inline import as_outcomes, job_error
from harness.execution.ray_files import Shipment, unpack
from harness.execution.schedule import Stack
from harness.store.results import Outcome
from harness.training.device import choose_device, computes
from harness.training.run import run_jobs

MAX_ATTEMPTS = (
    3  # of a job that raises an exception, or whose worker or node dies; of a worker that raises as it starts
)
MAX_DEATHS = 10  # of workers as they start, in a row: a node or its processes may be on their way out
POLL_SECONDS = 0.2  # that are waited for outcomes at most


@dataclass(frozen=True)
class Lost:
    """A job that ended without an outcome, and the reason, for when it is not started again."""

    error: JobError


@dataclass(eq=False)
class RayWorker:
    """A worker. call: what it is asked to do, its start or a stack; None where it has nothing to do."""

    actor: Any
    call: Any
    node: str = ""  # empty until it has started
    stack: Stack = ()

    def hand_over(self, stack: Stack, shipment: Any, mailbox: Any) -> None:
        """Hand over jobs."""
        self.call, self.stack = self.actor.fit.remote(stack, shipment, mailbox), stack


class RayWorkers:
    """Workers on a Ray cluster, which live from one run to the next. wants: the resources that each of them holds."""

    def __init__(self, wants: Mapping[str, float], limit: int | None) -> None:
        self._wants, self._limit = wants, limit or 2**30
        self._workers: list[RayWorker] = []
        self._device = "cpu"
        self._failed = self._died = 0  # starts in a row
        self._reason = ""  # of the last one

    @property
    def free(self) -> list[RayWorker]:
        """The workers that wait for jobs."""
        return [worker for worker in self._workers if worker.call is None]

    @property
    def fits(self) -> bool:
        """Whether any worker has jobs."""
        return any(worker.stack for worker in self._workers)

    def check(self, device: str) -> None:
        """Ask the workers of the last run whether they are still there, with this device."""
        self._failed, self._died, self._device = 0, 0, device
        for worker in self._workers:
            worker.call = worker.actor.start.remote(device)

    def start(self, stacks: int) -> None:
        """Start workers, as many as so many waiting stacks need and the cluster has room for.

        Ray places each where its resources are free. Where none are, it waits, and no stack waits for it.
        Raises HarnessError where none can start.
        """
        if self._failed >= MAX_ATTEMPTS or self._died >= MAX_DEATHS:
            if not self._workers:
                raise HarnessError(f"no worker can start on the Ray cluster: {self._reason}")
            return
        room = min(sum(slots(self._wants).values()), self._limit) - len(self._workers)
        idle = sum(not worker.stack for worker in self._workers)
        resources = {"num_gpus": self._wants.get("GPU", 0), "num_cpus": self._wants.get("CPU", 0)}
        for _ in range(min(room, stacks - idle)):
            actor = _Worker.options(**resources).remote()  # type: ignore[attr-defined]
            self._workers.append(RayWorker(actor, actor.start.remote(self._device)))

    def wait(self) -> tuple[Stack, Sequence[Outcome | Lost]]:
        """Wait for a worker, POLL_SECONDS at most, and return the jobs that ended with it, if any, and their outcomes.

        One that has died is no longer among them.
        """
        calls = {worker.call: worker for worker in self._workers if worker.call is not None}
        if not calls:
            time.sleep(POLL_SECONDS)
            return (), ()
        done, _ = ray.wait(list(calls), timeout=POLL_SECONDS)
        for worker in map(calls.__getitem__, done):  # one at most
            if worker.stack:
                return self._outcomes(worker)
            self._started(worker)
        return (), ()

    def stop(self, everyone: bool = False) -> None:
        """End the workers that have jobs or have not started, or all."""
        for worker in [worker for worker in self._workers if everyone or worker.call is not None]:
            self._remove(worker)

    def _started(self, worker: RayWorker) -> None:
        """Note on which node a worker has started, or that it could not."""
        try:
            worker.node, worker.call = ray.get(worker.call), None
            self._failed = self._died = 0
        except RayError as error:
            self._remove(worker)
            if not worker.node:  # one that had started before is replaced
                raised = isinstance(error, RayTaskError)
                self._failed, self._died = self._failed + raised, self._died + (not raised)
                self._reason = _reason(error)

    def _outcomes(self, worker: RayWorker) -> tuple[Stack, Sequence[Outcome | Lost]]:
        """The stack of a worker, and the outcome of each of its jobs. Where one failed, the worker is asked again."""
        (call, worker.call), (stack, worker.stack) = (worker.call, None), (worker.stack, ())
        try:
            found: list[Outcome] = ray.get(call)
            if any(isinstance(outcome, JobError) for outcome in found):
                worker.call = worker.actor.start.remote(self._device)
            return stack, found
        except RayTaskError as error:  # an exception in a job
            cause, details = error.cause if isinstance(error.cause, Exception) else error, _plain(str(error))
            trace = f"Traceback on its node: {details}"
            worker.call = worker.actor.start.remote(self._device)
            return stack, [Lost(JobError(job.id, job_error(job, cause).reason, trace)) for job in stack]
        except RayError as error:  # of its worker or node
            self._remove(worker)
            reason = f"its worker or node died {MAX_ATTEMPTS} times: {str(error).splitlines()[0]}"
            return stack, [Lost(JobError(job.id, reason, str(error))) for job in stack]

    def _remove(self, worker: RayWorker) -> None:
        self._workers.remove(worker)
        with suppress(RayError, ConnectionError):  # the cluster may be gone
            ray.kill(worker.actor)


def nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster that are there."""
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in found if node["Alive"]]


def slots(wants: Mapping[str, float]) -> dict[str, int]:
    """The number of such workers that fit on each node, by its id."""
    return {
        node["NodeID"]: min(int(node["Resources"].get(name, 0.0) / amount + 1e-9) for name, amount in wants.items())
        for node in nodes()
    }


def _reason(error: RayError) -> str:
    """Why a worker did not start: what it raised, or the last line of Ray's own account."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return first_line(error.cause)
    return _plain(str(error)).strip().rpartition("\n")[2].strip()


def _plain(text: str) -> str:
    """The text without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@ray.remote(max_restarts=0, max_task_retries=0)  # the driver starts lost jobs again: it knows which
class _Worker:
    """A process that fits jobs."""

    def start(self, device: str) -> str:
        """Return the id of this node. Raises HarnessError where the device is not there, or computes no more."""
        if not computes(str(choose_device(device))):
            raise HarnessError(f"{device} does not compute in this process")
        return str(ray.get_runtime_context().get_node_id())

    def fit(self, stack: Stack, shipment: Shipment, mailbox: Any) -> list[Outcome]:
        """The outcome of each job. Raises what may not happen again; a loss that is not finite does."""
        sent = []
        here = [unpack(shipment, job) for job in stack]
        try:
            jobs = [job for _, job in here]
            ended = run_jobs(jobs, here[0][0], lambda *epoch: sent.append(mailbox.add.remote(*epoch)))
            return as_outcomes(stack, ended)
        finally:
            with suppress(RayError):
                ray.get(sent[-1:], timeout=10)  # so that no epoch comes after the outcome
