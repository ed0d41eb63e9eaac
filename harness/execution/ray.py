"""Runs jobs on the workers of a Ray cluster, or of a local one. Nodes return results and write none."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.errors import HarnessError
from harness.execution.compute import Compute
from harness.execution.executor import OnStart, each_epoch_once
from harness.execution.ray_files import pack
from harness.execution.ray_workers import MAX_ATTEMPTS, Lost, RayWorkers, nodes, slots
from harness.execution.schedule import CostEstimate, Schedule, by_epochs
from harness.store.results import Metrics, OnEpoch, Outcome
from harness.study.plan import Batch, Job
from harness.training.context import Context
from harness.training.run import stacks

DEVICES = ("auto", "cpu", "cuda")
GPU_UNITS = 10_000  # Ray counts in such parts of a GPU
MAX_JOINS = 3  # attempts to get a server process at ray://HOST:PORT


class RayExecutor:
    """Fits jobs on a Ray cluster. Connects at once, and refuses a request that no node can ever fulfil."""

    def __init__(self, compute: Compute, device: str, estimate: CostEstimate = by_epochs) -> None:
        if device not in DEVICES:
            raise HarnessError(
                f"--device {device}: with --executor ray the devices are those of the nodes, and Ray deals them out;"
                f" allowed: {', '.join(DEVICES)}"
            )
        self._estimate, own = estimate, compute.address is None
        self._shared = compute.shared_store or own
        _connect(compute.address)
        self.device = ("cuda" if _most("GPU") else "cpu") if device == "auto" else device
        wants = {"GPU": _share(compute.jobs_per_device)} if self.device == "cuda" else {"CPU": float(compute.threads)}
        self._workers = RayWorkers(wants, compute.workers)
        if not any(slots(wants).values()):
            reason = _impossible(wants)
            self.close()
            raise HarnessError(reason)

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        schedule = Schedule(batches, self._estimate, partial(stacks, context=context))
        if not schedule:
            return
        report, attempts, workers = each_epoch_once(on_epoch), Counter[str](), self._workers
        shipment = ray.put(pack(context, self._shared, schedule.jobs()))
        mailbox = _Mailbox.options(scheduling_strategy=_here()).remote()  # type: ignore[attr-defined]
        workers.check(context.device)
        try:
            while schedule or workers.fits:
                workers.start(schedule.stacks)
                for worker in workers.free:
                    taken = schedule.take(worker.node)  # a node stays with one frozen backbone
                    if taken is None:
                        break
                    worker.hand_over(taken, shipment, mailbox)
                    for job in taken:
                        attempts[job.id] += 1
                        if attempts[job.id] == 1:
                            on_start(job)
                stack, outcomes = workers.wait()
                for message in ray.get(mailbox.drain.remote()):
                    report(*message)
                for job, outcome in zip(stack, outcomes, strict=True):
                    if not isinstance(outcome, Lost):
                        yield job, outcome
                    elif attempts[job.id] < MAX_ATTEMPTS:
                        schedule.put_back(job)
                    else:
                        yield job, outcome.error
        finally:
            workers.stop()
            ray.kill(mailbox)

    def close(self) -> None:
        """End the workers and disconnect from the cluster; a local one is shut down."""
        self._workers.stop(everyone=True)
        ray.shutdown()


def _share(jobs: int) -> float:
    """The share of a GPU that each of so many jobs holds, in Ray's unit; rounded up, the last of seven has no room."""
    return int(GPU_UNITS / jobs) / GPU_UNITS


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


def _most(resource: str) -> float:
    return max((node["Resources"].get(resource, 0.0) for node in nodes()), default=0.0)


def _impossible(wants: Mapping[str, float]) -> str:
    wanted = ", ".join(f"{amount:g} {name}" for name, amount in wants.items())
    has = "; ".join(
        f"{node['Resources'].get('CPU', 0):g} CPU, {node['Resources'].get('GPU', 0):g} GPU" for node in nodes()
    )
    return f"a fit needs {wanted}, and no node of the Ray cluster has that; its {len(nodes())} nodes have: {has}"


def _here() -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


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
