"""What every executor must do, whatever it runs its jobs on."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from harness.errors import JobError, Stopped
from harness.execution.executor import Executor
from harness.execution.inline import InlineExecutor
from harness.execution.process import ProcessExecutor
from harness.store.results import FoldResult, Metrics
from harness.study.plan import batches
from tests.execution.conftest import Case, Told, run, same_results, spoilt
from tests.ray_cluster import RayCluster


@dataclass(frozen=True)
class Kind:
    """One executor, and how its workers are killed; None where it has none."""

    executor: Executor
    kill_workers: Callable[[], None] | None


def kill_children() -> None:
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)


@pytest.fixture(
    scope="module", params=["inline", "process", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.long])]
)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    kill: Callable[[], None] | None = None
    executor: Executor = InlineExecutor()
    if request.param == "process":
        executor, kill = ProcessExecutor(["cpu", "cpu"]), kill_children
    elif request.param == "ray":
        cluster: RayCluster = request.getfixturevalue("ray_cluster")
        executor, kill = cluster.executor(), cluster.kill_workers
    with closing(executor):
        yield Kind(executor, kill)


@pytest.fixture
def kill_workers(kind: Kind) -> Callable[[], None]:
    if kind.kill_workers is None:
        pytest.skip("it has no workers")
    return kind.kill_workers


def test_every_job_gives_the_same_result_everywhere(kind: Kind, case: Case) -> None:
    told = run(kind.executor, case.jobs, case.context)
    same_results(told, case, case.jobs)
    assert sorted(job.id for job in told.started) == sorted(told.outcomes)


def test_the_order_of_the_jobs_changes_no_result(kind: Kind, case: Case) -> None:
    told = run(kind.executor, case.jobs[::-3], case.context)
    same_results(told, case, case.jobs[::-3])


def test_the_epochs_of_a_job_come_in_order_once_and_before_its_outcome(kind: Kind, case: Case) -> None:
    told = run(kind.executor, case.jobs[:3], case.context)
    for job in case.jobs[:3]:
        assert told.epochs_of(job) == [1, 2]
        assert told.at_end[job.id] == 2


def test_no_jobs_have_no_outcomes(kind: Kind, case: Case) -> None:
    assert run(kind.executor, [], case.context).outcomes == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"learning_rate": 1e30, "epochs": 3, "batch_size": 4}, "the loss is "),
        ({"head": "no-such-head"}, "no-such-head"),
        ({"backbone": "no_such_backbone"}, "no_such_backbone"),
    ],
    ids=["not finite", "head", "backbone"],
)
def test_a_failing_job_is_a_job_error_and_the_others_go_on(
    kind: Kind, case: Case, changes: dict[str, object], reason: str
) -> None:
    bad = spoilt(case.jobs[0], **changes)
    told = run(kind.executor, [bad, case.jobs[1]], case.context)
    error = told.outcomes[bad.id]
    assert isinstance(error, JobError)
    assert error.job_id == bad.id
    assert reason in error.reason
    assert "\n" not in error.reason
    assert "Traceback" in error.details
    assert isinstance(told.outcomes[case.jobs[1].id], FoldResult)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Stopped(15)], ids=["SIGINT", "SIGTERM"])
def test_a_request_to_stop_ends_the_jobs_that_train_and_the_executor_can_go_on(
    kind: Kind, case: Case, stop: BaseException
) -> None:
    def on_epoch(*_: object) -> None:
        raise stop

    endless = spoilt(case.jobs[0], epochs=100_000)
    with pytest.raises(type(stop)):
        list(kind.executor.run(batches([endless, case.jobs[1]]), case.context, lambda _: None, on_epoch))
    same_results(run(kind.executor, case.jobs[:2], case.context), case, case.jobs[:2])


BREAKING = """\
from torch import nn

from harness.training import device


def refuse(*_):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


class Breaking(nn.Module):
    def __init__(self, shape, classes, settings):
        super().__init__()
        nn.Module.__call__ = refuse
        device.computes.__code__ = (lambda device: False).__code__
        refuse()
"""


@pytest.mark.usefixtures("kill_workers")  # in this process it would break more than a worker
def test_a_worker_whose_device_computes_no_more_gets_no_other_job(kind: Kind, case: Case) -> None:
    """After an illegal memory access CUDA refuses everything in a process: it would fail all that waits, in no time."""
    context = replace(case.context, heads={"own:Breaking": BREAKING})
    breaking = spoilt(case.jobs[0], head="own:Breaking", epochs=3)  # the longest, so the first
    told = run(kind.executor, [breaking, *case.jobs[1:6]], context)
    error = told.outcomes.pop(breaking.id)
    assert isinstance(error, JobError)
    assert error.reason == "CUDA error: an illegal memory access was encountered"
    same_results(told, case, case.jobs[1:6])


def test_another_context_is_taken_up(kind: Kind, case: Case) -> None:
    told = run(kind.executor, case.jobs[:1], replace(case.context, threads=2))
    assert told.result(case.jobs[0]).record.facts.threads == 2


def test_heads_that_are_fitted_in_one_loop_give_the_same_results_everywhere(kind: Kind, case: Case) -> None:
    context = replace(case.context, stack=True)
    here, told = (run(executor, case.jobs, context) for executor in (InlineExecutor(), kind.executor))
    assert sorted(job.id for job in told.started) == sorted(told.outcomes)
    stacked = {job.id for job in case.jobs if told.result(job).record.facts.stack}
    assert stacked == {job.id for job in case.jobs if job.scenario.settings.trainable == "head"}
    for job in case.jobs:
        assert told.result(job).record.history == here.result(job).record.history
        assert told.epochs_of(job) == [1, 2]


def test_a_stack_whose_worker_is_killed_is_done_all_the_same(
    kind: Kind, case: Case, kill_workers: Callable[[], None]
) -> None:
    frozen = [job for job in case.jobs if job.scenario.settings.trainable == "head"]

    class Killing(Told):
        def on_epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
            super().on_epoch(job_id, epoch, metrics)
            if len(self.epochs) == 1:
                kill_workers()

    told = run(kind.executor, frozen, replace(case.context, stack=True), Killing())
    for job in frozen:
        metrics = case.reference.result(job).record.metrics
        assert told.result(job).record.metrics == pytest.approx(metrics, abs=1e-4)
        assert told.epochs_of(job) == [1, 2]
    assert len(told.started) == len(frozen)


def test_a_job_whose_worker_is_killed_is_done_all_the_same(
    kind: Kind, case: Case, kill_workers: Callable[[], None]
) -> None:
    class Killing(Told):
        def on_epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
            super().on_epoch(job_id, epoch, metrics)
            if len(self.epochs) == 1:
                kill_workers()

    told = run(kind.executor, case.jobs[:3], case.context, Killing())
    same_results(told, case, case.jobs[:3])
    for job in case.jobs[:3]:
        assert told.epochs_of(job) == [1, 2]
    assert len(told.started) == 3
