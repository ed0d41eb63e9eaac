"""Row 10 of the table of promises: worker processes that are killed in the middle of a fit."""

import os
import random
import signal
import time

from tests.faults.rig import FITS, LIMIT, Rig, wait_until
from tests.ray_cluster import children_of

RUN = ("run", "study.yaml", "--device", "cpu", "--executor", "process", "--workers", "2")
NOTICED = 5.0  # seconds


def kill_worker(rig: Rig, seed: int) -> int:
    """A worker that is killed at some moment of a run: its job is begun anew, and no result changes."""
    folder, chance = rig.place(), random.Random(seed)
    started = rig.start(folder, *RUN)
    pid = started.process.pid
    assert pid is not None
    after = f"[{chance.randrange(1, 6)}/{FITS}]"
    wait_until(lambda: after in started.read("err"), LIMIT)
    time.sleep(chance.uniform(0, rig.seconds / 20))
    workers = _workers(pid)
    assert len(workers) == 2, workers
    os.kill(chance.choice(workers), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: not started.process.is_alive() or bool(set(_workers(pid)) - set(workers)))
    assert time.monotonic() - killed < NOTICED
    ended = started.wait()
    assert ended.code == 0, ended
    rig.check(folder)
    return 1


def _workers(pid: int) -> list[int]:
    """The processes that fit: they were forked, by the server of forks, from the one that was started."""
    return [child for child in children_of(pid) if _parent(child) not in (pid, 0)]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - it may be gone any time
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
