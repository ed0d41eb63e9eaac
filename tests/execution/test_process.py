import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import HarnessError, JobError
from harness.execution.compute import Compute
from harness.execution.executor import each_epoch_once
from harness.execution.inline import InlineExecutor
from harness.execution.make import make_executor
from harness.execution.process import ProcessExecutor
from harness.store.results import FoldResult, Metrics
from tests.execution.conftest import Case, Told, run, spoilt
from tests.execution.test_conformance import kill_children
from tests.ray_cluster import children_of


@pytest.mark.slow
def test_a_job_that_loses_two_workers_is_a_job_error_and_the_others_go_on(case: Case) -> None:
    deadly = spoilt(case.jobs[0], epochs=2000)

    class Killing(Told):
        def on_epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
            super().on_epoch(job_id, epoch, metrics)
            if job_id == deadly.id:
                kill_children()

    with closing(ProcessExecutor(["cpu"])) as executor:
        told = run(executor, [deadly, case.jobs[1]], case.context, Killing())
    error = told.outcomes[deadly.id]
    assert isinstance(error, JobError)
    assert error.reason == "its worker died 2 times (signal 9, Killed); is there enough memory?"
    assert isinstance(told.outcomes[case.jobs[1].id], FoldResult)


def test_a_worker_that_crashes_is_not_said_to_lack_memory(case: Case) -> None:
    deadly = spoilt(case.jobs[0], epochs=2000)

    class Crashing(Told):
        def on_epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
            super().on_epoch(job_id, epoch, metrics)
            for child in multiprocessing.active_children():
                assert child.pid is not None
                os.kill(child.pid, signal.SIGABRT)

    with closing(ProcessExecutor(["cpu"])) as executor:
        error = run(executor, [deadly], case.context, Crashing()).outcomes[deadly.id]
    assert isinstance(error, JobError)
    assert error.reason == "its worker died 2 times (signal 6, Aborted)"


def test_workers_live_from_one_run_to_the_next_and_end_with_the_executor(case: Case) -> None:
    with closing(ProcessExecutor(["cpu"])) as executor:
        pids = []
        for job in case.jobs[:2]:
            run(executor, [job], case.context)
            pids.append({child.pid for child in multiprocessing.active_children()})
        assert len(pids[0]) == 1
        assert pids[0] == pids[1]
    assert multiprocessing.active_children() == []


def test_a_worker_that_was_killed_while_it_had_nothing_to_do_costs_no_attempt(case: Case) -> None:
    with closing(ProcessExecutor(["cpu"])) as executor:
        for job in case.jobs[:2]:
            assert isinstance(run(executor, [job], case.context).outcomes[job.id], FoldResult)
            kill_children()


def test_no_more_workers_are_started_than_there_are_jobs(case: Case) -> None:
    with closing(ProcessExecutor(["cpu"] * 8)) as executor:
        run(executor, case.jobs[:1], case.context)
        assert len(multiprocessing.active_children()) == 1


ENDLESS = """\
import os, sys
from pathlib import Path
from tests.conftest import context_of
from harness.execution.process import ProcessExecutor
from harness.study.plan import batches
from harness.store import Store
from harness.study import load_study

def tell(job_id, *epoch):
    training.add(job_id)
    if len(training) == 2:
        print("training", flush=True)

training = set()
context, jobs = context_of(load_study(Path(sys.argv[1])), Store(Path(sys.argv[2])))
list(ProcessExecutor(["cpu", "cpu"]).run(batches(jobs), context, lambda job: None, tell))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.long
def test_no_worker_outlives_a_driver_that_is_killed(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: endless\ndata: {source: phantom, image_size: 32, phantom: {train: 48, test: 24}}\nfolds: {k: 2}\n"
        "base: {backbone: test_resnet, weights: none, epochs: 100000, batch_size: 16}\nstages: [{name: one}]\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(study), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "training\n"
    workers = children_of(driver.pid)
    assert len(workers) >= 2
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    deadline = time.monotonic() + 60  # a worker that is starting looks for its driver once it is up
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in workers if alive(pid)] == []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_epoch_that_is_told_again_is_passed_on_once() -> None:
    told: list[tuple[str, int]] = []
    tell = each_epoch_once(lambda job_id, epoch, _metrics: told.append((job_id, epoch)))
    for job_id, epoch in [("a", 1), ("b", 1), ("a", 2), ("a", 1), ("a", 2), ("a", 3), ("b", 2)]:
        tell(job_id, epoch, {})
    assert told == [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]


@pytest.mark.parametrize(
    ("compute", "kind"),
    [
        (Compute(workers=1), InlineExecutor),
        (Compute(workers=2), ProcessExecutor),
        (Compute("inline"), InlineExecutor),
        (Compute("process", workers=1), ProcessExecutor),
    ],
)
def test_processes_are_taken_where_several_fits_run_at_a_time(compute: Compute, kind: type) -> None:
    assert isinstance(make_executor(compute, "cpu")[0], kind)


def test_a_wrong_executor_is_refused() -> None:
    with pytest.raises(HarnessError, match=r"unknown executor 'cluster'; allowed: auto, inline, process, ray"):
        Compute("cluster")
    with pytest.raises(HarnessError, match=r"--workers 3: inline fits one job at a time; use --executor process"):
        Compute("inline", workers=3)
