"""`python -m tests.faults.chaos [ROW...]`: every fault, and the table of promises with the counts reached."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one fit at a time, as in the tests

import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults import changes, disk, failures, fuzz, hostile, images, kills, workers
from tests.faults.rig import FITS, Rig
from tests.forks import ROOT

Case = Callable[[], int]  # gives how many faults were injected and mended, or raises


@dataclass(frozen=True)
class Row:
    """One promise: how many faults it wants, and the cases that inject them."""

    number: str
    promise: str
    wanted: int
    cases: Callable[[Rig], Iterator[Case]]


def _kills(rig: Rig) -> Iterator[Case]:
    yield partial(kills.kill_report, rig)
    for place in ("tracking.making:1", "tracking.made:1"):
        yield partial(kills.kill_fresh, rig, place)
    places = list(kills.failpoints(rig))
    for place in places:
        yield partial(kills.kill_at, rig, place)
    for number in range(max(10, 47 - len(places))):
        yield partial(kills.kill_after, rig, random.Random(number).uniform(0.1, rig.seconds))


def _double(rig: Rig) -> Iterator[Case]:
    second = ("tracking.discarded:1", "ledger.saved:1", "report.written:1", "tracking.artifact:1", "tracking.created:1")
    for number in range(10):
        yield partial(kills.kill_twice, rig, f"tracking.metrics:{3 + 4 * number}", second[number % 5])


def _signals(number: signal.Signals, rig: Rig) -> Iterator[Case]:
    for case in range(10):
        yield partial(kills.stop_in_time, rig, number, 1 + case % (FITS - 1), random.Random(case).uniform(0, 0.2))


def _two_runners(rig: Rig) -> Iterator[Case]:
    for case in range(20):
        yield partial(kills.second_runner, rig, at_once=case % 2 == 0)


def _first_users(rig: Rig) -> Iterator[Case]:
    for _ in range(10):
        yield partial(kills.eight_first_users, rig)


def _checkpoint_kills(rig: Rig) -> Iterator[Case]:
    for number in range(1, 11):
        for place in ("checkpoint.save", "checkpoint.saved"):
            yield partial(kills.kill_checkpoint, rig, f"{place}:{number}")


def _torn_checkpoints(pattern: str, _rig: Rig) -> Iterator[Case]:
    yield partial(_tests, pattern, "tests/training/test_checkpoint.py")


def _failures(rig: Rig) -> Iterator[Case]:
    for fault in failures.FAULTS:
        yield partial(failures.fail, rig, fault)


def _full_disks(rig: Rig) -> Iterator[Case]:
    for share in (0.15, 0.5, 0.85):
        yield partial(disk.fill, rig, share)


def _bad_images(rig: Rig) -> Iterator[Case]:
    for name in images.KINDS:
        yield partial(images.bad_image, rig, name)
    yield partial(images.changed_image, rig)


def _dead_workers(rig: Rig) -> Iterator[Case]:
    for seed in range(10):
        yield partial(workers.kill_worker, rig, seed)


def _lost_servers(_rig: Rig) -> Iterator[Case]:
    yield partial(_tests, "lost_server", "tests/tracking/test_relay.py")


def _changes(rig: Rig) -> Iterator[Case]:
    for name in changes.CHANGES:
        yield partial(changes.change, rig, name)


def _hostile(rig: Rig) -> Iterator[Case]:
    for name in hostile.CASES:
        yield partial(hostile.hostile, rig, name)


def _malformed(_rig: Rig) -> Iterator[Case]:
    yield partial(_tests, "refused or error or wrong", "tests/study/test_strict_yaml.py", "tests/study/test_study.py")


def _tests(pattern: str, *files: str) -> int:
    """How many tests of these files whose name matches pass; none may fail."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-rN", "-k", pattern, *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "HARNESS_CHAOS": "1"})
    found = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    assert found, done.stdout[-3000:]
    return int(found[1])


def _fuzz(_rig: Rig) -> Iterator[Case]:
    for seed in range(20):
        yield partial(fuzz.in_process, seed, 5_000)


ROWS = (
    Row("1", "killed anywhere, the same command finishes", 50, _kills),
    Row("2", "killed during the recovery, too", 10, _double),
    Row("3", "SIGTERM: runs KILLED, exit 143 within 10 s, goes on", 10, partial(_signals, signal.SIGTERM)),
    Row("3", "SIGINT: runs KILLED, exit 130 within 10 s, goes on", 10, partial(_signals, signal.SIGINT)),
    Row("4", "one runner for a study; a killed one holds nothing", 20, _two_runners),
    Row("5", "8 processes may be the first to use a store", 10, _first_users),
    Row("6", "killed in the save of a checkpoint", 20, _checkpoint_kills),
    Row("6", "a checkpoint that was cut: the one before", 7, partial(_torn_checkpoints, "cut_anywhere")),
    Row("6", "a checkpoint with another byte: the one before", 20, partial(_torn_checkpoints, "flipped_byte")),
    Row("7", "a full disk is one line; with room the same command goes on", 3, _full_disks),
    Row("8", "one failure does not end the grid", 4, _failures),
    Row("9", "a bad image is named, or left out and told", 8, _bad_images),
    Row("10", "a killed worker is noticed within 5 s, its job begun anew", 10, _dead_workers),
    Row("11", "a lost tracking server: training goes on, every value there once", 5, _lost_servers),
    Row("12", "what decides numbers changes by a byte: new fits, or a refusal", 10, _changes),
    Row("13", "a malformed study file is one line", 60, _malformed),
    Row("13", "fuzzed study files: no traceback", 100_000, _fuzz),
    Row("14", "hostile archives and weights run nothing; passwords are not repeated", 12, _hostile),
)  # fmt: skip


def main() -> int:
    """0 where every row reached its count."""
    chosen = [row for row in ROWS if not sys.argv[1:] or row.number in sys.argv[1:]]
    started, short = time.monotonic(), 0
    lines = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        rig = Rig(Path(folder))
        for row in chosen:
            before = time.monotonic()
            counts = list(pool.map(_counted, row.cases(rig)))
            reached, failed = sum(counts), sum(count == 0 for count in counts)
            short += reached < row.wanted or failed > 0
            lines.append(
                f"| {row.number} | {row.promise} | {row.wanted:,} | {reached:,} | {failed} |"
                f" {time.monotonic() - before:.0f} s |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    print("| # | promise | faults wanted | faults injected and mended | failed cases | time |")
    print("|---|---|---|---|---|---|", *lines, sep="\n")
    print(f"\n{time.monotonic() - started:.0f} s on {os.cpu_count()} cores")
    return int(short > 0)


def _counted(case: Case) -> int:
    try:
        return case()
    except Exception:
        traceback.print_exc()
        return 0


if __name__ == "__main__":
    sys.exit(main())
