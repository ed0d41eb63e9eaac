"""Ray's own: clusters of several nodes, on this machine, of which one is lost, or has GPUs that are not there."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.execution.compute import Compute
from harness.execution.executor import Executor
from harness.store.results import FoldResult, Metrics
from harness.study.plan import Job
from tests.conftest import CHAOS
from tests.execution.conftest import Case, Told, run, same_results, spoilt
from tests.faults.rig import wait_until
from tests.ray_cluster import RayCluster

pytestmark = pytest.mark.ray
MOMENTS = range(1, 11) if CHAOS else [4]


@pytest.mark.long
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


@pytest.mark.long
def test_data_come_to_a_node_once_not_with_every_job(ray_cluster: RayCluster, case: Case) -> None:
    with closing(ray_cluster.executor()) as executor:
        run(executor, case.jobs, case.context)
        (pixels,) = ray_cluster.files("*.npy")
        written = pixels.stat().st_mtime_ns
        run(executor, case.jobs, case.context)
    assert pixels.stat().st_mtime_ns == written
    assert pixels.read_bytes() == next(iter(case.context.pixels.values())).read_bytes()
    assert len(ray_cluster.files("features/*/maps.npy")) == 1


WITNESS = """\
import os
import time
from pathlib import Path
from uuid import uuid4

from torch import nn


class Witness(nn.Module):
    def __init__(self, shape, classes, settings):
        super().__init__()
        self.linear = nn.Linear(shape[0], classes)
        self.file = FOLDER / f"{os.getpid()}-{uuid4().hex}"
        self.tell()
        deadline = time.time() + 60
        while len({file.name.partition("-")[0] for file in FOLDER.iterdir()}) < WORKERS and time.time() < deadline:
            time.sleep(0.05)

    def forward(self, features):
        self.tell()
        return self.linear(features.mean(dim=(2, 3)))

    def tell(self):
        with self.file.open("a") as file:
            print(os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"], time.time(), file=file)
"""


@dataclass(frozen=True)
class Seen:
    """What a head saw of its worker, from its first to its last pass."""

    worker: tuple[str, str]  # process and GPU
    start: float
    end: float

    def meets(self, other: "Seen") -> bool:
        """Whether the other one was on the same GPU when this one started."""
        return self.worker[1] == other.worker[1] and other.start <= self.start < other.end


class Witnesses:
    """Jobs whose heads write down their process and its GPU; the first wait until so many workers are there."""

    def __init__(self, case: Case, folder: Path, workers: int) -> None:
        self._folder = folder
        source = WITNESS.replace("FOLDER", f"Path({str(folder)!r})").replace("WORKERS", str(workers))
        self.context = replace(case.context, heads={"witness:Witness": source})
        jobs = [spoilt(job, head="witness:Witness") for job in case.jobs if job.scenario.settings.trainable == "all"]
        self.jobs = [replace(job, id=f"{job.id}-{number}") for number in range(2) for job in jobs]

    def run(self, executor: Executor, jobs: list[Job], told: Told | None = None) -> None:
        """Runs some of the jobs, all of which succeed."""
        outcomes = run(executor, jobs, self.context, told).outcomes.values()
        assert [outcome for outcome in outcomes if not isinstance(outcome, FoldResult)] == []
        assert len(outcomes) == len(jobs)

    @property
    def seen(self) -> list[Seen]:
        """What each of them saw."""
        found = []
        for file in self._folder.iterdir():
            lines = [line.split() for line in file.read_text().splitlines()]
            (worker,) = {(process, gpu) for process, gpu, _ in lines}
            found.append(Seen(worker, float(lines[0][2]), float(lines[-1][2])))
        return found


@pytest.mark.long
@pytest.mark.parametrize("share", [1, 2])
def test_a_worker_stays_on_its_gpu_which_no_more_share_than_may(
    ray_cluster: RayCluster, case: Case, tmp_path: Path, share: int
) -> None:
    witnesses = Witnesses(case, tmp_path, 2 * share)
    compute = Compute("ray", jobs_per_device=share)
    with ray_cluster.gpus(2), closing(ray_cluster.executor(compute, "cuda")) as executor:
        for jobs in (witnesses.jobs[:5], witnesses.jobs[5:]):
            witnesses.run(executor, jobs)
    workers = {each.worker for each in witnesses.seen}
    assert sorted(gpu for _, gpu in workers) == sorted(["0", "1"] * share)
    assert len({process for process, _ in workers}) == 2 * share, "a process was moved to another GPU"
    seen = witnesses.seen
    assert max(sum(each.meets(other) for other in seen) for each in seen) == share, "each meets itself"


@pytest.mark.long
def test_the_gpu_of_a_killed_worker_is_used_again(ray_cluster: RayCluster, case: Case, tmp_path: Path) -> None:
    witnesses = Witnesses(case, tmp_path, workers=1)

    class Killing(Told):
        def on_epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
            super().on_epoch(job_id, epoch, metrics)
            if len(self.epochs) == 1:
                ray_cluster.kill_workers()

    with ray_cluster.gpus(1), closing(ray_cluster.executor(device="cuda")) as executor:
        witnesses.run(executor, witnesses.jobs[:3], Killing())
    assert sorted(gpu for _, gpu in {each.worker for each in witnesses.seen}) == ["0", "0"]


@pytest.mark.long
def test_a_worker_that_was_killed_while_it_had_nothing_to_do_costs_no_attempt(
    ray_cluster: RayCluster, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.ray.MAX_ATTEMPTS", 1)
    with closing(ray_cluster.executor(Compute("ray", workers=1))) as executor:
        for job in case.jobs[:2]:
            assert isinstance(run(executor, [job], case.context).outcomes[job.id], FoldResult)
            ray_cluster.kill_workers()


@pytest.mark.long
def test_workers_live_from_one_run_to_the_next_and_end_with_the_executor(ray_cluster: RayCluster, case: Case) -> None:
    with closing(ray_cluster.executor(Compute("ray", workers=1))) as executor:
        found = []
        for job in case.jobs[:2]:
            run(executor, [job], case.context)
            found.append(ray_cluster.workers())
    assert len(found[0]) == 1
    assert found[0] == found[1]
    wait_until(lambda: not ray_cluster.workers())


@pytest.mark.long
def test_a_cpu_that_others_use_keeps_no_job_waiting(ray_cluster: RayCluster, case: Case) -> None:
    import ray

    @ray.remote(num_cpus=1)
    class Other:
        def there(self) -> None:
            pass

    with closing(ray_cluster.executor()) as executor:
        other = Other.remote()  # type: ignore[attr-defined]
        ray.get(other.there.remote())
        same_results(run(executor, case.jobs, case.context), case, case.jobs)
        ray.get(other.there.remote())


@pytest.mark.long
def test_where_no_worker_finds_its_device_the_run_ends_with_the_reason(ray_cluster: RayCluster, case: Case) -> None:
    context = replace(case.context, device="cuda")
    with (
        ray_cluster.gpus(1),
        closing(ray_cluster.executor(device="cuda")) as executor,
        pytest.raises(HarnessError, match=r"no worker can start on the Ray cluster: --device cuda: not on this"),
    ):
        run(executor, case.jobs, context)


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_that_ray_cannot_deal_out_is_refused(device: str) -> None:
    from harness.execution.ray import RayExecutor

    with pytest.raises(HarnessError, match=rf"--device {device}: .*; allowed: auto, cpu, cuda"):
        RayExecutor(Compute("ray"), device)
