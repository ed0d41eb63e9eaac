"""Rows 1 to 5 of the table of promises: kills, signals, two runners, many first users."""

import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.rig import FITS, RUN, Rig, truth, wait_until

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def failpoints(rig: Rig) -> Iterator[str]:
    """Every place of a run, at its first, its last and a middle pass: `NAME:N`, none twice."""
    every = list(rig.passes.items())
    first, last = [f"{name}:1" for name, _ in every], [f"{name}:{passes}" for name, passes in every]
    yield from dict.fromkeys([*first, *last, *(f"{name}:{passes // 2 + 1}" for name, passes in every)])


def kill_at(rig: Rig, *places: str, command: tuple[str, ...] = RUN) -> int:
    """Starts the study once for each failpoint, is killed there each time, and lets it finish. Gives the kills."""
    folder, kills = rig.place(), 0
    for place in places:
        ended = rig.run(folder, *command, failpoint=place)
        assert ended.code in (-signal.SIGKILL, 0), ended
        kills += ended.code == -signal.SIGKILL
    _finish(rig, folder, command)
    return kills


def kill_twice(rig: Rig, first: str, second: str) -> int:
    """A kill, and another one while the study recovers from it."""
    assert kill_at(rig, first, second) == 2
    return 1


def kill_after(rig: Rig, *seconds: float) -> int:
    """As kill_at, after so many seconds of each start."""
    folder, kills = rig.place(), 0
    for wait in seconds:
        started = rig.start(folder, *RUN)
        time.sleep(wait)
        started.kill()
        kills += started.wait().code == -signal.SIGKILL
    _finish(rig, folder)
    return kills


def kill_fresh(rig: Rig, place: str) -> int:
    """A kill at a failpoint that only the first run in an empty folder passes."""
    folder = rig.empty()
    assert rig.run(folder, *RUN, failpoint=place).code == -signal.SIGKILL
    _finish(rig, folder)
    return 1


def kill_checkpoint(rig: Rig, place: str) -> int:
    """A kill before or after a checkpoint is in its place; the numbers are those of a run without any."""
    folder, every = rig.place(), ("--set", "checkpoint_every=1")
    assert rig.run(folder, *RUN, *every, failpoint=place).code == -signal.SIGKILL
    rig.finish(folder, *RUN, *every)
    found = truth(folder)
    assert found["jobs"] == rig.truth["jobs"]
    assert found["leftovers"] == []
    return 1


def kill_report(rig: Rig) -> int:
    """A kill between the old report and the new one."""
    folder = rig.copy()
    shutil.rmtree(folder / "mlruns" / "cache" / "reports")  # else the report is up to date, and is not written again
    assert rig.run(folder, *RUN, failpoint="report.moved:1").code == -signal.SIGKILL
    assert rig.run(folder, *RUN).code == 0
    assert {"leftovers": [], "report": rig.truth["report"]}.items() <= truth(folder).items()
    return 1


def _finish(rig: Rig, folder: Path, command: tuple[str, ...] = RUN) -> None:
    rig.finish(folder, *command)
    rig.check(folder)


def stop(rig: Rig, number: signal.Signals, folds: int, seconds: float) -> float:
    """Sends a signal some time after so many folds are done. Gives the seconds that the end took."""
    folder = rig.place()
    started = rig.start(folder, *RUN)
    wait_until(lambda: f"[{folds}/{FITS}]" in started.read("err"))
    time.sleep(seconds)
    sent = time.monotonic()
    started.kill(number)
    ended = started.wait()
    took = time.monotonic() - sent
    assert ended.code == CODES[number], ended
    assert ended.err.splitlines()[-1] == "stopped; the same command continues from here"
    with sqlite3.connect(folder / "mlruns/mlflow.db") as database:
        states = {status for (status,) in database.execute("SELECT status FROM runs")}
    assert states == {"FINISHED", "KILLED"}, (states, ended.err)
    _finish(rig, folder)
    return took


def stop_in_time(rig: Rig, number: signal.Signals, folds: int, seconds: float) -> int:
    """A signal that is obeyed within 10 s."""
    assert stop(rig, number, folds, seconds) < 10
    return 1


def second_runner(rig: Rig, at_once: bool) -> int:
    """Two starts of one study; then the holder is killed, and the next start needs no unlocking. Gives the refusals."""
    folder = rig.place()
    first = rig.start(folder, *RUN)
    holder = folder / "mlruns/locks/faults.json"
    if not at_once:
        wait_until(holder.exists)
        first.kill(signal.SIGSTOP)  # so that whatever changes now is the second's doing
        before = tree(folder / "mlruns")
    second = rig.start(folder, *RUN)
    if at_once:
        wait_until(lambda: not (first.process.is_alive() and second.process.is_alive()))
    else:
        second.wait()
        assert tree(folder / "mlruns") == before
    refused, running = (second, first) if not second.process.is_alive() else (first, second)
    ended = refused.wait()
    assert ended.code == 3, ended
    told = (
        f"study faults is running already in {folder}/mlruns: process {running.process.pid} on {socket.gethostname()}"
    )
    assert ended.err.splitlines()[-1] == f"error: {told}"
    running.kill()
    running.wait()
    _finish(rig, folder)
    return 1


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder, with its size and time of change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def eight_first_users(rig: Rig) -> int:
    """Eight of them, all whole."""
    assert first_users(rig, 8) == 8
    return 1


def first_users(rig: Rig, processes: int) -> int:
    """So many studies that start at once in one empty store. Gives how many of them are whole in MLflow."""
    folder = rig.empty()
    small = ("--set", "stages=[{name: grid}]", "--set", "test=null", "--set", "folds.k=2", "--set", "base.epochs=1")
    started = [rig.start(folder, *RUN, *small, "--set", f"study=s{n}") for n in range(processes)]
    for each in started:
        ended = each.wait()
        assert ended.code == 0, ended
        assert "rror" not in ended.err, ended.err
    with sqlite3.connect(folder / "mlruns/mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        rows = database.execute(
            "SELECT e.name, r.status, count(*) FROM runs r JOIN experiments e USING (experiment_id) GROUP BY 1, 2"
        ).fetchall()
    assert sorted(rows) == [(f"s{n}", "FINISHED", 1 + 1 + 2) for n in range(processes)]
    assert len(list((folder / "mlruns/jobs").iterdir())) == 2
    return len(rows)
