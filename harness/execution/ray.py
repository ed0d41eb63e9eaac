"""Runs jobs as tasks of a Ray cluster, or of a local one. Nodes return results and write none."""

import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.errors import HarnessError, JobError
from harness.execution.compute import Compute
from harness.execution.executor import OnStart, each_epoch_once
from harness.execution.inline import as_outcomes, job_error
from harness.execution.ray_files import Shipment, pack, unpack
from harness.execution.schedule import CostEstimate, Schedule, Stack, by_epochs
from harness.store.results import Metrics, OnEpoch, Outcome
from harness.study.plan import Batch, Job
from harness.training.context import Context
from harness.training.run import run_jobs, stacks

MAX_ATTEMPTS = 3  # of a job that raises an exception, or whose worker or node dies
MAX_JOINS = 3  # attempts to get a server process at ray://HOST:PORT
POLL_SECONDS = 0.2  # between two looks into the mailbox


class RayExecutor:
    """Fits jobs on a Ray cluster. Connects at once, and refuses a request that no node can ever fulfil."""

    def __init__(self, compute: Compute, device: str, estimate: CostEstimate = by_epochs) -> None:
        self._estimate, self._workers, self._own = estimate, compute.workers, compute.address is None
        self._shared = compute.shared_store or self._own
        _connect(compute.address)
        self.device = ("cuda" if _most("GPU") else "cpu") if device == "auto" else device
        gpus = 1 / compute.jobs_per_device if self.device.startswith("cuda") else 0
        self._wants = {"GPU": gpus} if gpus else {"CPU": float(compute.threads)}
        if not any(_slots(self._wants).values()):
            reason = _impossible(self._wants)
            self.close()
            raise HarnessError(reason)

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        schedule = Schedule(batches, self._estimate, partial(stacks, context=context))
        if not schedule:
            return
        report, attempts = each_epoch_once(on_epoch), Counter[str]()
        shipment = ray.put(pack(context, self._shared, schedule.jobs()))
        mailbox = _Mailbox.options(scheduling_strategy=_here()).remote()  # type: ignore[attr-defined]
        flying: dict[Any, tuple[Stack, str]] = {}
        try:
            while schedule or flying:
                for stack, node in self._free(schedule, flying):
                    flying[self._submit(stack, node, shipment, mailbox)] = stack, node
                    for job in stack:
                        attempts[job.id] += 1
                        if attempts[job.id] == 1:
                            on_start(job)
                done, _ = ray.wait(list(flying), num_returns=len(flying), timeout=POLL_SECONDS)
                for message in ray.get(mailbox.drain.remote()):
                    report(*message)
                for task in done:
                    stack, _ = flying.pop(task)
                    for job, outcome in zip(stack, _outcomes(stack, task), strict=True):
                        if not isinstance(outcome, _Lost):
                            yield job, outcome
                        elif attempts[job.id] < MAX_ATTEMPTS:
                            schedule.put_back(job)
                        else:
                            yield job, outcome.error
        finally:
            for task in flying:
                with suppress(RayError):
                    ray.cancel(task, force=True)
            ray.kill(mailbox)

    def close(self) -> None:
        """Disconnect from the cluster; a local one is shut down."""
        ray.shutdown()

    def _free(self, schedule: Schedule, flying: Mapping[Any, tuple[Stack, str]]) -> Iterator[tuple[Stack, str]]:
        """Start jobs where there is room, and return them with their node: a node stays with one frozen backbone."""
        room = (self._workers or 2**30) - len(flying)
        busy = Counter(node for _, node in flying.values())
        for node, slots in _slots(self._wants).items():
            for _ in range(min(slots - busy[node], room)):
                stack = schedule.take(node)
                if stack is None:
                    return
                room -= 1
                yield stack, node

    def _submit(self, stack: Stack, node: str, shipment: Any, mailbox: Any) -> Any:
        options = {
            "num_gpus": self._wants.get("GPU", 0),
            "num_cpus": self._wants.get("CPU", 0),
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True),
        }
        return _fit.options(**options).remote(stack, shipment, mailbox)


def _connect(address: str | None) -> None:
    """Connect to the cluster at `address`, or start one on this machine. Raises HarnessError where that fails."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init(dashboard_host="127.0.0.1", **quiet)
        else:
            _require_listening(address)
            _join(address, quiet)
    except (OSError, ValueError, ImportError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        reason = lines[-1] if isinstance(error, ConnectionAbortedError) else lines[0]  # a traceback of the server
        raise HarnessError(
            f"--address {address}: {reason}; give `auto` on a node of a running cluster, or ray://HOST:10001"
        ) from None
    finally:
        for number, handler in handlers.items():  # Ray replaces them
            signal.signal(number, handler)


def _join(address: str, quiet: Mapping[str, Any]) -> None:
    """Join the cluster. Some servers of a Ray client die as they are forked (ray-project/ray#63202): ask again."""
    for attempt in range(1, MAX_JOINS + 1):
        try:
            ray.init(address=address, **quiet)
            return
        except ConnectionAbortedError:
            if attempt == MAX_JOINS:
                raise


def _require_listening(address: str) -> None:
    """Raise OSError or ValueError if nobody listens at a `[ray://]HOST:PORT`, for which Ray would wait minutes."""
    if address != "auto":
        place = urlsplit(address if "//" in address else f"//{address}")
        socket.create_connection((place.hostname, place.port or 10001), timeout=5).close()


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _most(resource: str) -> float:
    return max((node["Resources"].get(resource, 0.0) for node in _nodes()), default=0.0)


def _slots(wants: Mapping[str, float]) -> dict[str, int]:
    """The number of such jobs that fit on each node, by its id."""
    return {
        node["NodeID"]: min(int(node["Resources"].get(name, 0.0) / amount + 1e-9) for name, amount in wants.items())
        for node in _nodes()
    }


def _impossible(wants: Mapping[str, float]) -> str:
    wanted = ", ".join(f"{amount:g} {name}" for name, amount in wants.items())
    has = "; ".join(
        f"{node['Resources'].get('CPU', 0):g} CPU, {node['Resources'].get('GPU', 0):g} GPU" for node in _nodes()
    )
    return f"a fit needs {wanted}, and no node of the Ray cluster has that; its {len(_nodes())} nodes have: {has}"


def _here() -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


@dataclass(frozen=True)
class _Lost:
    """A task that ended without an outcome, and the reason, for when it is not started again."""

    error: JobError


def _outcomes(stack: Stack, task: Any) -> Sequence[Outcome | _Lost]:
    """The outcome of each job of a task."""
    try:
        found: list[Outcome] = ray.get(task)
        return found
    except RayTaskError as error:  # an exception in a job
        cause, details = error.cause if isinstance(error.cause, Exception) else error, _plain(str(error))
        return [_Lost(JobError(j.id, job_error(j, cause).reason, f"Traceback on its node: {details}")) for j in stack]
    except RayError as error:  # of its worker or node
        reason = f"its worker or node died {MAX_ATTEMPTS} times: {str(error).splitlines()[0]}"
        return [_Lost(JobError(job.id, reason, str(error))) for job in stack]


def _plain(text: str) -> str:
    """The text without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@ray.remote(num_cpus=0)
class _Mailbox:
    """Runs next to the driver, and holds the epochs that workers report until the driver asks."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, int, Metrics]] = []

    def add(self, *message: Any) -> None:
        """Add an epoch."""
        self._messages.append(message)

    def drain(self) -> list[tuple[str, int, Metrics]]:
        """Return what came since the last call."""
        messages, self._messages = self._messages, []
        return messages


@ray.remote(max_retries=0)  # the driver starts lost jobs again: it knows which, and where
def _fit(stack: Stack, shipment: "Shipment", mailbox: Any) -> list[Outcome]:
    """The outcome of each job. Raises what may not happen again; a loss that is not finite does."""
    sent = []
    here = [unpack(shipment, job) for job in stack]
    try:
        ended = run_jobs([job for _, job in here], here[0][0], lambda *epoch: sent.append(mailbox.add.remote(*epoch)))
        return as_outcomes(stack, ended)
    finally:
        with suppress(RayError):
            ray.get(sent[-1:], timeout=10)  # so that no epoch comes after the outcome
