"""One search on PostgreSQL, shared by stores as by machines: workers and whole machines are killed, nothing is lost."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from optuna.trial import TrialState

from harness.errors import HarnessError
from harness.execution.progress import Reporter
from harness.prepare import prepare
from harness.search import queue as module
from harness.search.earlier import describe, origin
from harness.search.queue import Queue, slot_of
from harness.search.reuse import reuse_earlier
from harness.search.run import SearchRun, run_search
from harness.store import Store
from tests.postgres import PASSWORD, create_database
from tests.search.conftest import STUDY, StudyOf, new_store
from tests.search.test_run import queue_of, runs_of, wait_for

pytestmark = pytest.mark.services


def jobs_in(store: Store) -> int:
    return len(list(store.jobs.glob("[!.]*"))) if store.jobs.exists() else 0


def below(pid: int) -> Iterator[int]:
    """The processes that descend from this one, the youngest generation last."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from below(int(child))


class Machine:
    """`harness search` as a process group of its own, on a store of its own."""

    def __init__(self, store: Store, study: Path, url: str, target: int) -> None:
        self.store, self.said = store, store.root / "said.txt"
        command = [sys.executable, "-m", "harness.cli", "search", str(study), "--store", str(store.root)]
        options = ["--trials", str(target), "--workers", "2", "--device", "cpu", "--storage", url]
        with self.said.open("w") as file:
            self.process = subprocess.Popen([*command, *options], stdout=file, stderr=file, start_new_session=True)

    def kill_worker(self) -> None:
        """Kills -9 one worker process."""
        servers = list(below(self.process.pid))
        workers = [pid for server in servers for pid in below(server)]
        if workers:
            os.kill(workers[-1], signal.SIGKILL)

    def kill(self, when: Callable[[], bool]) -> None:
        """Kills -9 everything, as a power cut does, when this holds: it is asked while all stands still."""

        def stands_so() -> bool:
            assert self.process.poll() is None, f"it ended before: {self.said.read_text()}"
            os.killpg(self.process.pid, signal.SIGSTOP)
            if not (so := when()):
                os.killpg(self.process.pid, signal.SIGCONT)
            return so

        wait_for(stands_so)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
@pytest.mark.long
def test_machines_that_die_lose_and_repeat_nothing(
    study_of: StudyOf,
    prepared: Store,
    postgres: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    study, target, file = study_of(), 24, tmp_path / "tiny.yaml"
    file.write_text(STUDY)
    stores = [new_store(prepared, tmp_path / name) for name in ("first", "second")]
    machine = Machine(stores[0], file, postgres, target)
    wait_for(lambda: jobs_in(stores[0]) >= 3)
    machine.kill_worker()
    queue = queue_of(study, stores[1], postgres)
    machine.kill(when=lambda: jobs_in(stores[0]) >= 8 and bool(queue.trials(TrialState.RUNNING)))
    assert queue.trials(TrialState.RUNNING) and queue.trials(TrialState.WAITING), "nothing is left to be found again"

    monkeypatch.setattr(module, "GRACE_SECONDS", 12)  # more than the heartbeat of a worker
    with Reporter() as reporter:
        run = run_search(study, stores[1], "cpu", reporter, 2, target, postgres)
    states = Counter(trial.state for trial in queue.trials())
    assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == target
    assert [result.slot for result in run.results] == list(range(target))
    assert (run.failed, run.lost) == (0, 0)
    assert sorted(int(r.data.tags["harness.slot"]) for r in runs_of(stores[1], "trial")) == list(range(target))
    folds = [r.data.tags["harness.job_id"] for r in runs_of(stores[1], "fold")]
    assert len(folds) == len(set(folds)) == jobs_in(stores[1]) < sum(result.folds for result in run.results)

    before = len(queue.trials())
    with Reporter() as reporter:
        again = run_search(study, stores[1], "cpu", reporter, 2, target, postgres)
    assert len(queue.trials()) == before and again.results == run.results
    said = capfd.readouterr()
    assert PASSWORD not in said.out + said.err
    for path in (path for store in stores for path in store.root.rglob("*") if path.is_file()):
        assert PASSWORD.encode() not in path.read_bytes(), f"{path} holds the password"


@pytest.mark.long
def test_two_machines_that_start_at_once_make_one_search(
    study_of: StudyOf, prepared: Store, postgres: str, tmp_path: Path
) -> None:
    study, target = study_of("search.seed=1", "search.pruner=none"), 6
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY.replace("trials: 6", "trials: 6\n  seed: 1\n  pruner: none"))
    stores = [new_store(prepared, tmp_path / name) for name in ("first", "second")]
    machines = [Machine(store, file, postgres, target) for store in stores]
    assert [machine.process.wait(timeout=300) for machine in machines] == [0, 0]
    trials = queue_of(study, stores[0], postgres).trials()
    assert [trial.user_attrs["slot"] for trial in trials] == list(range(target)), "a slot was enqueued twice"
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert sum(map(jobs_in, stores)) == 2 * target, "a fold was fitted on both"
    for machine in machines:
        assert "6 of 6 trials" in machine.said.read_text()


def test_two_machines_that_edit_the_space_at_once_reuse_every_trial_once(
    study_of: StudyOf, reference: tuple[SearchRun, Store], postgres: str
) -> None:
    url, (run, store) = create_database(postgres, "edited"), reference
    first, study = queue_of(study_of(), store, url), study_of("search.space.learning_rate.low=5.0e-4")
    for trial in Queue(study.searched, first.name, store, None).trials():
        first.optuna_study.add_trial(trial)
    describe(prepare(study_of(), store), first)
    together = threading.Barrier(2)

    def start() -> list[str]:
        said, workspace, queue = list[str](), prepare(study, store), queue_of(study, store, url)
        together.wait()
        reuse_earlier(workspace, queue, [], said.append)
        queue.fill(6, [])
        return said

    with ThreadPoolExecutor(2) as machines:
        said = [machine.result() for machine in [machines.submit(start) for _ in range(2)]]
    trials = queue_of(study, store, url).trials()
    assert sorted(trial.user_attrs["slot"] for trial in trials) == list(range(6))
    inside = [r for r in run.results if r.state == "complete" and r.point["learning_rate"] >= 5e-4]
    reused = {slot_of(trial): trial.values for trial in trials if origin(trial)}
    assert reused == {result.slot: [result.value] for result in inside}
    assert any(f"{len(inside)} reused" in line for lines in said for line in lines)


def test_a_wrong_password_is_refused_and_not_repeated(
    study_of: StudyOf, store: Store, postgres: str, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = postgres.replace(quote(PASSWORD, safe=""), "not-the-word")
    assert wrong != postgres
    with pytest.raises(HarnessError, match="cannot be opened") as refused, Reporter() as reporter:
        run_search(study_of(), store, "cpu", reporter, 1, 1, wrong)
    assert "not-the-word" not in str(refused.value) and "\n" not in str(refused.value)
    assert not store.jobs.exists()
    assert "not-the-word" not in "".join(capfd.readouterr())
