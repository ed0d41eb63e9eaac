"""Whole searches: real fits of a small head, real SQLite, real processes."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from harness.data.dataset import Dataset
from harness.errors import BusyError, HarnessError, StudyError
from harness.execution.progress import Reporter
from harness.prepare import prepare
from harness.reproduce import reproduce
from harness.search.queue import Queue
from harness.search.run import SearchRun
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.identity import search_id
from tests.search.conftest import STUDY, StudyOf, new_store, searched

GRID = (
    "search.sampler=grid", "search.trials=null", "search.space.learning_rate={choices: [1.0e-3, 1.0e-2]}",
    "search.space.dropout={low: 0.2, high: 0.6, step: 0.2, when: {head: [dropout-gap]}}",
)  # fmt: skip


def queue_of(study: Study, store: Store, url: str | None = None) -> Queue:
    assert study.search is not None
    return Queue(study.search, f"{study.study}-{search_id(study, prepare(study, store).inputs.digests)}", store, url)


def states_of(study: Study, store: Store, url: str | None = None) -> Counter[str]:
    return Counter(trial.state.name for trial in queue_of(study, store, url).trials())


def runs_of(store: Store, level: str) -> list[Run]:
    client = MlflowClient(tracking_uri=store.tracking_uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`harness.level` = '{level}'", max_results=5000))


def points_of(run: SearchRun) -> list[dict[str, Any]]:
    return [result.point for result in run.results]


def check_exact(study: Study, store: Store, run: SearchRun, target: int, url: str | None = None) -> None:
    """Every slot ended once; nothing is RUNNING; every trial and every job has one run, whole and under its parent."""
    assert [result.slot for result in run.results] == list(range(target))
    assert (run.failed, run.lost) == (0, 0)
    states = states_of(study, store, url)
    assert states["RUNNING"] == states["WAITING"] == 0
    assert states["COMPLETE"] + states["PRUNED"] == target
    (search,) = runs_of(store, "search")
    trials, folds = runs_of(store, "trial"), runs_of(store, "fold")
    assert {r.info.status for r in [search, *trials, *folds]} == {"FINISHED"}
    assert sorted(int(r.data.tags["harness.slot"]) for r in trials) == list(range(target))
    assert {r.data.tags["mlflow.parentRunId"] for r in trials} == {search.info.run_id}
    for trial in trials:
        assert ("cost/flops" in trial.data.metrics) == (trial.data.tags["harness.state"] == "complete")
    jobs = [r.data.tags["harness.job_id"] for r in folds]
    assert len(set(jobs)) == len(jobs)
    assert set(jobs) >= {job.id for result in run.results for job in result.done}
    # A trial that was put back may be pruned at an earlier fold than it had reached; that fold's run stays.
    known = {job.id for result in run.results for job in result.jobs if Ledger(store).done(job.id)}
    assert set(jobs) == known
    assert {r.data.tags["mlflow.parentRunId"] for r in folds} <= {r.info.run_id for r in trials}
    for fold in folds:
        client = MlflowClient(tracking_uri=store.tracking_uri)
        steps = [metric.step for metric in client.get_metric_history(fold.info.run_id, "val/accuracy")]
        assert steps == [1], "an epoch was logged more or less than once"


def test_a_fold_of_a_trial_run_again_from_its_run_gives_the_same_metrics(study_of: StudyOf, store: Store) -> None:
    searched(study_of("search.enqueue=[{head: batchnorm-gap, learning_rate: 1.0e-3}]"), store, trials=2)
    for run in runs_of(store, "fold"):
        found = reproduce(run.info.run_id, store, "cpu", Reporter())
        assert found.job.id == run.data.tags["harness.job_id"]
        assert found.identical


def test_a_search_runs_trials_as_ordinary_jobs(study_of: StudyOf, reference: tuple[SearchRun, Store]) -> None:
    run, store = reference
    study = study_of()
    check_exact(study, store, run, 6)
    ledger = Ledger(store)
    for result in run.results:
        values = [ledger.record(job.id).metrics["val/roc_auc"] for job in result.done]
        assert result.means == pytest.approx([sum(values[:n]) / n for n in range(1, len(values) + 1)])
        if result.state == "complete":
            assert result.value == pytest.approx(result.means[-1])
            assert len(result.done) == 2
    dropouts = [result.point.get("dropout") for result in run.results]
    heads = [result.point["head"] for result in run.results]
    assert [dropout is not None for dropout in dropouts] == [head == "dropout-gap" for head in heads]
    assert len(set(heads)) == 2


def test_trials_and_runs_are_linked_both_ways(study_of: StudyOf, reference: tuple[SearchRun, Store]) -> None:
    run, store = reference
    by_id = {r.info.run_id: r for r in runs_of(store, "trial")}
    for trial in queue_of(study_of(), store).trials():
        linked = by_id[trial.user_attrs["mlflow_run_id"]]
        assert linked.data.tags["harness.trial"] == str(trial.number)
        assert linked.data.params["head"] == trial.params["head"]
        assert linked.data.metrics.get("objective") == (trial.value if trial.state.name == "COMPLETE" else None)
        assert linked.data.metrics["val/roc_auc_running_mean"] == trial.intermediate_values[trial.last_step or 0]
    assert run.url.startswith("http://127.0.0.1:5000/#/experiments/")


def test_the_test_set_is_not_scored(study_of: StudyOf, reference: tuple[SearchRun, Store]) -> None:
    run, store = reference
    dataset: Dataset = prepare(study_of(), store).inputs.dataset
    test_images = set(dataset.table["image"][dataset.rows("test")])
    scored = {i for r in run.results for job in r.done for i in Ledger(store).predictions(job.id)["image"]}
    assert test_images and scored and not test_images & scored
    assert len(list((store.cache / "features").glob("*/maps.npy"))) == 1, (
        "the features of the test images were computed"
    )


def test_a_second_start_does_nothing(study_of: StudyOf, reference: tuple[SearchRun, Store]) -> None:
    run, store = reference
    before = {path: path.stat().st_mtime_ns for path in store.jobs.rglob("*")}
    runs = {level: len(runs_of(store, level)) for level in ("search", "trial", "fold")}
    again = searched(study_of(), store)
    assert points_of(again) == points_of(run)
    assert {path: path.stat().st_mtime_ns for path in store.jobs.rglob("*")} == before
    assert {level: len(runs_of(store, level)) for level in runs} == runs
    assert len(queue_of(study_of(), store).trials()) == 6


@pytest.mark.parametrize(
    ("sampler", "trials"),  # the samplers that learn begin to after ten trials
    [("random", 4), pytest.param("tpe", 12, marks=pytest.mark.long), pytest.param("gp", 12, marks=pytest.mark.long)],
)
def test_one_seed_and_one_worker_give_the_same_trials_also_after_a_stop(
    study_of: StudyOf, prepared: Store, store: Store, sampler: str, trials: int, tmp_path: Path
) -> None:
    study = study_of(f"search.sampler={sampler}", f"search.trials={trials}")
    other = new_store(prepared, tmp_path / "other")
    whole = searched(study, store)
    searched(study, other, trials=trials // 2)
    again = searched(study, other)
    assert points_of(again) == points_of(whole)
    assert [r.value for r in again.results] == [r.value for r in whole.results]
    changed = study_of(f"search.sampler={sampler}", "search.seed=1", "search.trials=2")
    assert points_of(searched(changed, store)) != points_of(whole)[:2]


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_grid_visits_every_point_once(study_of: StudyOf, store: Store, workers: int) -> None:
    study = study_of(*GRID, "search.pruner=none")
    run = searched(study, store, workers)
    assert study.search is not None
    assert len(study.search.points()) == 8
    assert points_of(run) == study.search.points()
    assert len(queue_of(study, store).trials()) == 8
    check_exact(study, store, run, 8)


def test_a_known_scenario_costs_nothing(study_of: StudyOf, store: Store) -> None:
    point = "search.enqueue=[{head: batchnorm-gap}, {head: batchnorm-gap}]"
    run = searched(study_of(point, "search.trials=2"), store)
    assert points_of(run) == [{"head": "batchnorm-gap", "learning_rate": 1e-3}] * 2
    assert len(list(store.jobs.iterdir())) == len(runs_of(store, "fold")) == 2
    second = next(r for r in runs_of(store, "trial") if r.data.tags["harness.slot"] == "1")
    first = next(r for r in runs_of(store, "trial") if r.data.tags["harness.slot"] == "0")
    assert second.data.tags["harness.folds_run"] == first.info.run_id


def test_image_sizes_of_a_range_are_decoded_when_they_occur(study_of: StudyOf, store: Store) -> None:
    space = "search.space={image_size: {low: 24, high: 48, step: 8}}"
    study = study_of(space, "search.enqueue=[{image_size: 48}, {image_size: 24}]", "search.trials=2")
    known = set((store.cache / "pixels").iterdir())
    run = searched(study, store)
    assert [result.scenario.settings.image_size for result in run.results] == [48, 24]
    assert [result.state for result in run.results] == ["complete", "complete"]
    assert len(set((store.cache / "pixels").iterdir()) - known) == 2, "sizes that no trial has were decoded"


def test_a_failing_fold_fails_its_trial_alone(study_of: StudyOf, store: Store) -> None:
    # a learning rate of 1e300 gives a loss that is not finite
    study = study_of("search.space={learning_rate: {choices: [1.0e-3, 1.0e300]}}", "search.sampler=grid",
                     "base.optimizer=sgd", "base.epochs=2")  # fmt: skip
    run = searched(study, store)
    assert [result.state for result in run.results] == ["complete", "failed"]
    assert (run.failed, run.lost) == (1, 0)
    (failed,) = (r for r in runs_of(store, "trial") if r.data.tags["harness.state"] == "failed")
    assert "objective" not in failed.data.metrics
    assert len(queue_of(study, store).trials()) == 2


def test_a_timeout_ends_a_start_and_not_the_search(study_of: StudyOf, store: Store) -> None:
    study = study_of("search.timeout=0.001")
    run = searched(study, store)
    assert run.timed_out and not run.results
    assert states_of(study, store) == {"WAITING": 6}
    assert len(searched(study_of(), store).results) == 6  # the timeout is no part of what the search is


def test_trials_by_other_code_are_not_joined(study_of: StudyOf, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of()
    searched(study, store, trials=2)
    monkeypatch.setattr("harness.search.run.code_digest", lambda: "other")
    assert len(searched(study, store, trials=2).results) == 2, "there is nothing to fit"
    with pytest.raises(HarnessError, match="now it is other"):
        searched(study, store, trials=3)
    assert states_of(study, store) == {"COMPLETE": 2}


def test_trials_by_other_versions_are_joined_only_where_that_is_allowed_and_marked(
    study_of: StudyOf, store: Store
) -> None:
    searched(study_of(), store, trials=2)
    for path in store.jobs.glob("*/result.json"):
        path.write_text(re.sub(r"timm [0-9.]+", "timm 1.0.2", path.read_text()))
    with pytest.raises(HarnessError, match=r"\(timm 1\.0\.2 \([0-9]+ fits\), now [0-9.]+\)"):
        searched(study_of(), store, trials=3)
    report = searched(study_of(), Store(store.root, mixed_versions=True), trials=3).report
    assert "**MIXED VERSIONS: timm 1.0.2 (" in report.read_text()
    assert all("MIXED VERSIONS" in row for row in pd.read_csv(report.with_name("trials.csv"))["mark"])
    assert "MIXED VERSIONS" in report.with_name("search.html").read_text()


def test_a_smaller_target_withdraws_what_waits(study_of: StudyOf, store: Store) -> None:
    searched(study_of("search.timeout=0.001"), store)
    assert len(searched(study_of(), store, trials=2).results) == 2
    check_exact(study_of(), store, searched(study_of(), store, trials=3), 3)


def test_two_objectives_give_a_front(study_of: StudyOf, store: Store) -> None:
    from harness.search.trials import best_trial, pareto_front

    study = study_of(
        "search.objective={metric: val/roc_auc, cost: parameters}", "search.sampler=grid",
        "search.space={head: {choices: [dropout-gap, dropout-flatten, batchnorm-gap, batchnorm-flatten]}}",
    )  # fmt: skip
    run = searched(study, store)
    assert all(result.state == "complete" and result.cost for result in run.results)
    front = pareto_front(study, run.results)
    for result in run.results:
        beaten = any(
            (other.value or 0) >= (result.value or 0) and (other.cost or 0) <= (result.cost or 0)
            and (other.value, other.cost) != (result.value, result.cost)
            for other in run.results
        )  # fmt: skip
        assert beaten != any((f.value, f.cost) == (result.value, result.cost) for f in front)
    best = best_trial(study, run.results)
    assert best is not None and best.value == max(result.value or 0 for result in run.results)


def test_a_search_holds_the_study_s_lock(study_of: StudyOf, store: Store) -> None:
    with store.locked("tiny"), pytest.raises(BusyError):
        searched(study_of(), store)


def test_a_study_without_a_search_is_refused(study_of: StudyOf, store: Store) -> None:
    with pytest.raises(StudyError, match="no search: block"):
        searched(study_of("search=null"), store)


class Killer(threading.Thread):
    """Kills a worker process of this one, some moment after every third job, `count` times."""

    def __init__(self, store: Store, count: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.jobs, self.count, self.killed = store.jobs, count, 0
        self.stop, self._random = threading.Event(), random.Random(seed)

    def run(self) -> None:
        wait_for(self.jobs.exists)
        while self.killed < self.count and not self.stop.wait(self._random.uniform(0, 0.3)):
            workers, done = list(children_of_forkserver()), len(list(self.jobs.glob("[!.]*")))
            if workers and done >= 3 * self.killed:
                os.kill(self._random.choice(workers), signal.SIGKILL)
                self.killed += 1


def children_of_forkserver() -> Iterator[int]:
    from multiprocessing import forkserver

    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if server is not None:
        children = Path(f"/proc/{server}/task/{server}/children")
        yield from (int(pid) for pid in children.read_text().split())


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_killed_workers_lose_and_repeat_nothing(study_of: StudyOf, store: Store) -> None:
    study, target = study_of(), 40
    killer = Killer(store, 10, seed=0)
    killer.start()
    searched(study, store, workers=3, trials=target)
    killer.stop.set()
    killer.join()
    assert killer.killed == 10
    assert states_of(study, store)["RUNNING"] == 0
    run = searched(study, store, workers=2, trials=target)  # a trial that was hit three times
    check_exact(study, store, run, target)
    once = Counter(repr(point) for point in points_of(run))
    assert max(once.values()) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked from a server")
@pytest.mark.long
def test_a_killed_parent_takes_its_workers_along_and_the_next_start_goes_on(
    study_of: StudyOf, store: Store, tmp_path: Path
) -> None:
    study, target = study_of(), 16
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY)
    command = [sys.executable, "-m", "harness.cli", "search", str(file), "--store", str(store.root)]
    options = ["--trials", str(target), "--workers", "2", "--device", "cpu"]
    parent = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: store.jobs.exists() and len(list(store.jobs.glob("[!.]*"))) >= 5)
    parent.kill()
    parent.wait()
    time.sleep(2)
    jobs = len(list(store.jobs.glob("[!.]*")))
    time.sleep(1)
    assert len(list(store.jobs.glob("[!.]*"))) == jobs, "a worker outlived its parent"
    assert jobs < 2 * target
    check_exact(study, store, searched(study, store, workers=2, trials=target), target)


def wait_for(happened: Callable[[], bool]) -> None:
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError("nothing happened for five minutes")
