"""Ray's own: clusters of several nodes, on this machine, of which one is lost."""

from contextlib import closing
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.execution.compute import Compute
from harness.store.results import Metrics
from tests.conftest import CHAOS
from tests.execution.conftest import Case, Told, run, same_results
from tests.ray_cluster import RayCluster

pytestmark = pytest.mark.ray
MOMENTS = range(1, 11) if CHAOS else [4]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_node_that_is_lost_loses_no_job(ray_cluster: RayCluster, case: Case, moment: int) -> None:
    """moment: the number of epochs that have been told when a node is killed."""
    node = ray_cluster.add_node()

    class Killing(Told):
        def on_epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
            super().on_epoch(job_id, epoch, metrics)
            if len(self.epochs) == moment:
                ray_cluster.kill(node)

    with closing(ray_cluster.executor()) as executor:
        told = run(executor, case.jobs, case.context, Killing())
    same_results(told, case, case.jobs)
    assert [told.epochs_of(job) for job in case.jobs] == [[1, 2]] * len(case.jobs)


@pytest.mark.parametrize(
    ("compute", "device", "message"),
    [
        (Compute("ray", threads=64), "cpu", r"a fit needs 64 CPU, and no node .* its \d nodes have: 1 CPU, 0 GPU"),
        (Compute("ray", jobs_per_device=2), "cuda", "a fit needs 0.5 GPU, and no node of the Ray cluster has that"),
    ],
)
def test_what_no_node_can_fulfil_is_refused_at_once(
    ray_cluster: RayCluster, compute: Compute, device: str, message: str
) -> None:
    with pytest.raises(HarnessError, match=message):
        ray_cluster.executor(compute, device)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1", "nowhere", "127.0.0.1:many"])
def test_where_nobody_listens_is_told_at_once(address: str) -> None:
    from harness.execution.ray import RayExecutor

    with pytest.raises(HarnessError, match=rf"--address {address}: .*; give `auto` on a node of a running cluster, or"):
        RayExecutor(Compute("ray", address=address), "cpu")


@pytest.mark.parametrize(("failures", "joins"), [(2, True), (3, False)])
def test_a_server_that_dies_as_it_starts_is_asked_for_again(
    ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch, failures: int, joins: bool
) -> None:
    """Some servers of a Ray client do: ray-project/ray#63202."""
    import ray

    init, left = ray.init, iter(range(failures))

    def failing(**options: Any) -> object:
        if next(left, None) is not None:
            raise ConnectionAbortedError("Initialization failure from server:\nTraceback\nRuntimeError: it died")
        return init(**options)

    monkeypatch.setattr(ray, "init", failing)
    if joins:
        ray_cluster.executor().close()
    else:
        with pytest.raises(HarnessError, match=r"--address .*: RuntimeError: it died; give"):
            ray_cluster.executor()


def test_data_come_to_a_node_once_not_with_every_job(ray_cluster: RayCluster, case: Case) -> None:
    with closing(ray_cluster.executor()) as executor:
        run(executor, case.jobs, case.context)
        (pixels,) = ray_cluster.files("*.npy")
        written = pixels.stat().st_mtime_ns
        run(executor, case.jobs, case.context)
    assert pixels.stat().st_mtime_ns == written
    assert pixels.read_bytes() == next(iter(case.context.pixels.values())).read_bytes()
    assert len(ray_cluster.files("features/*/maps.npy")) == 1
