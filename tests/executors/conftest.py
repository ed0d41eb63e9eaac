"""The jobs that every executor fits, and what they give in this process."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from harness.compute import Compute
from harness.executors import Executor
from harness.executors.inline import InlineExecutor
from harness.plan import Job, batches
from harness.results import FoldResult, Metrics, Outcome
from harness.store import Store
from harness.study import Study
from harness.training.job import Context
from tests.conftest import context_of

if TYPE_CHECKING:
    from ray._private.node import Node

    from harness.executors.ray import RayExecutor


@dataclass
class Told:
    """What an executor says while it runs."""

    started: list[Job] = field(default_factory=list)
    epochs: list[tuple[str, int]] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    at_end: dict[str, int] = field(default_factory=dict)  # job id -> its epochs told when its outcome came

    def on_epoch(self, job_id: str, epoch: int, _metrics: Metrics) -> None:
        self.epochs.append((job_id, epoch))

    def epochs_of(self, job: Job) -> list[int]:
        return [epoch for job_id, epoch in self.epochs if job_id == job.id]

    def result(self, job: Job) -> FoldResult:
        outcome = self.outcomes[job.id]
        assert isinstance(outcome, FoldResult), outcome
        return outcome


def run(executor: Executor, jobs: list[Job], context: Context, told: Told | None = None) -> Told:
    """Runs jobs to their end."""
    told = told or Told()
    for job, outcome in executor.run(batches(jobs), context, told.started.append, told.on_epoch):
        assert job.id not in told.outcomes, "an outcome came twice"
        told.outcomes[job.id] = outcome
        told.at_end[job.id] = len(told.epochs_of(job))
    return told


@dataclass(frozen=True)
class Case:
    """Jobs of whole networks and of heads on frozen features, and their results by the inline executor."""

    context: Context
    jobs: list[Job]
    reference: Told


@pytest.fixture(scope="session")
def case(new_store: Callable[[], Store], small_study: Callable[..., Study]) -> Case:
    stages = "stages=[{name: all, grid: {trainable: [all, head], head: [dropout-gap, batchnorm-gap]}}]"
    context, jobs = context_of(small_study(stages, "test=null"), new_store())
    assert len(jobs) == 8
    return Case(context, jobs, run(InlineExecutor(), jobs, context))


def spoilt(job: Job, **changes: object) -> Job:
    """The job with settings that were never checked."""
    settings = job.scenario.settings.model_copy(update=changes)
    return replace(job, id=f"spoilt-{job.id}", scenario=replace(job.scenario, settings=settings))


def same_results(told: Told, case: Case, jobs: list[Job]) -> None:
    """Every record and every prediction to the last bit as the inline executor gave it."""
    assert sorted(told.outcomes) == sorted(job.id for job in jobs)
    for job in jobs:
        ours, theirs = told.result(job), case.reference.result(job)
        assert ours.record.history == theirs.record.history
        assert ours.record.metrics == theirs.record.metrics
        assert ours.record.facts["threads"] == theirs.record.facts["threads"] == "1"
        pd.testing.assert_frame_equal(ours.predictions, theirs.predictions)


def children_of(pid: int) -> list[int]:
    """The processes below a process, by the kernel's own list."""
    direct = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return [*direct, *(below for child in direct for below in children_of(child))]


class RayCluster:
    """A Ray cluster of several nodes on this machine. They share no files with the driver but by the object store."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.add_node()

    def add_node(self) -> "Node":
        """A new node with one CPU."""
        node: Node = self._cluster.add_node(num_cpus=1)
        return node

    def kill(self, node: "Node") -> None:
        """Kills a node with all that runs on it."""
        self._cluster.remove_node(node, allow_graceful=False)

    def executor(self, compute: Compute | None = None, device: str = "cpu") -> "RayExecutor":
        """An executor on this cluster."""
        from harness.executors.ray import RayExecutor

        return RayExecutor(replace(compute or Compute("ray"), address=self._cluster.address), device)

    def kill_workers(self) -> None:
        """Kills the processes that fit jobs."""
        for pid in children_of(os.getpid()):
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_text().startswith("ray::_fit"):
                    os.kill(pid, signal.SIGKILL)

    def files(self, pattern: str) -> list[Path]:
        """What the nodes keep."""
        return sorted(self._folder.glob(f"harness-*/{pattern}"))

    def shutdown(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    pytest.importorskip("ray")
    folder = tmp_path_factory.mktemp("nodes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        patch.setenv("RAY_TMPDIR", "/tmp")  # the paths of its sockets must be short
        patch.setenv("RAY_worker_niceness", "0")  # else workers starve where other tests want the cores
        cluster = RayCluster(folder)
    yield cluster
    cluster.shutdown()
