"""A Ray cluster of the tests' own: several nodes, on this machine."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.execution.compute import Compute

if TYPE_CHECKING:
    from ray._private.node import Node

    from harness.execution.ray import RayExecutor


def children_of(pid: int) -> list[int]:
    """The processes below a process, by the kernel's own list."""
    direct: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # of a thread that has ended
            direct += map(int, file.read_text().split())
    return [*direct, *(below for child in direct for below in children_of(child))]


class RayCluster:
    """A Ray cluster of several nodes on this machine. They share no files with the driver but by the object store."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.add_node()
        self.address: str = self._cluster.address

    def add_node(self, gpus: int = 0) -> "Node":
        """A new node with one CPU, and so many GPUs that Ray believes in."""
        node: Node = self._cluster.add_node(num_cpus=1, num_gpus=gpus)
        return node

    @contextmanager
    def gpus(self, count: int) -> Iterator[None]:
        """One more node, with GPUs that are not there: its jobs compute on the CPU."""
        node = self.add_node(count)
        try:
            yield
        finally:
            self.kill(node)

    def kill(self, node: "Node") -> None:
        """Kills a node with all that runs on it."""
        self._cluster.remove_node(node, allow_graceful=False)

    def executor(self, compute: Compute | None = None, device: str = "cpu") -> "RayExecutor":
        """An executor on this cluster."""
        from harness.execution.ray import RayExecutor

        return RayExecutor(replace(compute or Compute("ray"), address=self.address), device)

    def workers(self) -> list[int]:
        """The processes that fit jobs, or wait for some."""
        found = []
        for pid in children_of(os.getpid()):
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_text().startswith("ray::_Worker"):
                    found.append(pid)
        return found

    def kill_workers(self) -> None:
        """Kills the processes that fit jobs, or wait for some."""
        for pid in self.workers():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def files(self, pattern: str) -> list[Path]:
        """What the nodes keep."""
        return sorted(self._folder.glob(f"harness-*/{pattern}"))

    def shutdown(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def cluster(folder: Path) -> Iterator[RayCluster]:
    """A cluster whose nodes keep their files in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        patch.setenv("RAY_TMPDIR", "/tmp")  # the paths of its sockets must be short
        patch.setenv("RAY_worker_niceness", "0")  # else workers starve where other tests want the cores
        found = RayCluster(folder)
    yield found
    found.shutdown()
