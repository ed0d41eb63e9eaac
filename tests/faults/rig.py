"""A small study that is run in processes of their own, which may be killed; and what must be true of it afterwards."""

import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from multiprocessing import set_start_method
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness.store import failpoints
from harness.store.files import NEW_PREFIX
from harness.store.seals import SEAL, broken
from tests.conftest import MEASURED
from tests.forks import fork_context

STUDY = """\
study: faults
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 36, test: 12}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 2, batch_size: 16, learning_rate: 1.0e-3}
stages:
  - name: grid
    grid: {head: [dropout-gap, batchnorm-gap], oversampling: [none, random]}
    select: {metric: val/roc_auc}
test: {stages: [grid], model: refit}
"""
FITS = 8  # of the stage, besides the refit
RUN = ("run", "study.yaml", "--device", "cpu", "--executor", "inline")
LIMIT = 300  # seconds after which a command hangs
LEFTOVERS = (f"**/{NEW_PREFIX}*", "checkpoints/*", "states/*", "locks/*.json", "locks/mlflow.making")
ASIDE = (
    "harness.command",
    "harness.git_commit",
    "harness.git_dirty",
    "harness.store",
    "harness.commands",
    "harness.git_commits",
    "harness.first_command",
    "harness.last_command",
    "harness.clock_seconds",
)  # tags of the commands, not of the result
OF_ONE_COMMAND = ("environment.txt", "commands.jsonl", "SHA256SUMS")  # artifacts: by whom and when, not what
Truth = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How a command ended; the code of a killed one is the negative signal."""

    code: int | None
    out: str
    err: str


class Started:
    """A command that is running in `folder`."""

    def __init__(self, process: BaseProcess, folder: Path, name: str) -> None:
        self.process, self._folder, self._name = process, folder, name

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal, if the command is still there."""
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)

    def wait(self, seconds: float = LIMIT) -> Ended:
        """How it ended. Raises TimeoutError where it does not end in time; then it is killed."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"still running after {seconds} s: {self.read('err')[-2000:]}")
        return Ended(self.process.exitcode, self.read("out"), self.read("err"))

    def read(self, stream: str) -> str:
        """What the command has written so far."""
        return Path(self._folder, f"{self._name}.{stream}").read_text()


class Rig:
    """Makes places in which the study can be run; `root` holds them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._context = fork_context()
        self._numbers = count(1)  # next() is safe from several threads
        self._base = self.empty()
        self.finish(self._base, "plan", "study.yaml")  # draws the images
        maker = self._context.Process(target=_make_database, args=(self._base,))
        maker.start()
        maker.join()
        self.reference = self.place()
        started = time.monotonic()
        self.finish(self.reference, *RUN, failpoint="count")
        self.seconds = time.monotonic() - started  # of an uninterrupted run
        self.truth = truth(self.reference)
        self.passes: dict[str, int] = json.loads((self.reference / "passes.json").read_text())

    def empty(self) -> Path:
        """A new folder with the study file alone."""
        folder = self.root / f"case{next(self._numbers)}"
        (folder / "tmp").mkdir(parents=True)
        (folder / "study.yaml").write_text(STUDY)
        return folder

    def place(self) -> Path:
        """A new folder with the study file, its images and an empty database."""
        folder = self.empty()
        shutil.copytree(self._base / "mlruns", folder / "mlruns")
        return folder

    def copy(self) -> Path:
        """A copy of the finished reference."""
        return Path(shutil.copytree(self.reference, self.root / f"case{next(self._numbers)}"))

    def start(
        self, folder: Path, *arguments: str, failpoint: str | None = None, before: Callable[[], None] | None = None
    ) -> Started:
        """`harness ARGUMENTS` in a new process in `folder`. before: called in it first, to inject a fault."""
        name = f"command{len(list(folder.glob('*.err')))}"
        target = (arguments, folder, name, failpoint, before)
        process = self._context.Process(target=_command, args=target)
        for stream in ("out", "err"):
            (folder / f"{name}.{stream}").touch()
        process.start()
        return Started(process, folder, name)

    def run(self, folder: Path, *arguments: str, **options: Any) -> Ended:
        """How `harness ARGUMENTS` in `folder` ended."""
        return self.start(folder, *arguments, **options).wait()

    def finish(self, folder: Path, *arguments: str, **options: Any) -> None:
        """Runs `harness ARGUMENTS` in `folder`. Raises AssertionError with what it said where it fails."""
        ended = self.run(folder, *arguments, **options)
        assert ended.code == 0, f"{arguments}: {ended.code}\n{ended.err}"

    def check(self, folder: Path) -> None:
        """Asserts that the study in `folder` is finished just as the reference is, and that nothing is left over."""
        found = truth(folder)
        for what, expected in self.truth.items():
            assert found[what] == expected, f"{what} in {folder}: {difference(expected, found[what])}"


def _make_database(folder: Path) -> None:
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db").search_experiments()


def _command(
    arguments: tuple[str, ...], folder: Path, name: str, failpoint: str | None, before: Callable[[], None] | None
) -> None:
    set_start_method(None, force=True)  # that of a command which a person starts
    os.chdir(folder)
    for descriptor, stream in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{name}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    os.environ["HF_HUB_OFFLINE"] = "1"
    if failpoint is not None:
        os.environ[failpoints.VARIABLE] = failpoint
    gc.freeze()  # statsmodels collects garbage at each of its tests, and all that is imported is none
    sys.argv = ["harness", *arguments]
    from harness.cli import main

    if before is not None:
        before()
    try:
        main()
    finally:
        if failpoint == "count":
            Path("passes.json").write_text(json.dumps(failpoints.passes))


def truth(folder: Path) -> Truth:
    """All that must be the same however a study came to its end, by what it is."""
    store = folder / "mlruns"
    return {
        "jobs": {path.name: _job(path) for path in (store / "jobs").iterdir()},
        "runs": sorted(_runs(store), key=repr),
        "looks": sum("fitted-again" not in path.as_posix() for path in (store / "looks").rglob("*.json")),
        "leftovers": [str(p.relative_to(store)) for name in LEFTOVERS for p in store.glob(name)]
        # torch's own cache is removed by the next process that loads torch, which a finished study does not
        + [name for name in os.listdir(folder / "tmp") if not name.startswith("torchinductor_")],
        "report": _report(store),
    }


def _job(path: Path) -> Truth:
    """The files of a job, byte for byte but for the seconds that it took, and what has changed since it was sealed."""
    files: Truth = {file.name: file.read_bytes() for file in path.iterdir()}
    record = json.loads(files["result.json"])
    del record["facts"]["seconds"]
    return files | {"result.json": record, SEAL: broken(path)}


def _runs(store: Path) -> Iterator[Truth]:
    """What MLflow holds of every run that is not in its trash, but for times and ids."""
    with sqlite3.connect(store / "mlflow.db") as database:
        rows = database.execute("SELECT run_uuid, name, status, artifact_uri, lifecycle_stage FROM runs").fetchall()
        tags = _of_run(database, "SELECT run_uuid, key, value FROM tags")
        params = _of_run(database, "SELECT run_uuid, key, value FROM params")
        points = _of_run(database, "SELECT run_uuid, key, step, value, is_nan FROM metrics")
    database.close()
    names = {run_id: name for run_id, name, *_ in rows}
    for run_id, name, status, uri, stage in rows:
        if stage == "active":
            artifacts = Path(uri.removeprefix("file://"))
            own = dict(tags[run_id])
            yield {
                "name": name,
                "status": status,
                "parent": names.get(own.get("mlflow.parentRunId", "")),
                "tags": {key: value for key, value in own.items() if key.startswith("harness.") and key not in ASIDE},
                "params": params.get(run_id, []),
                "points": [
                    point
                    for point in points.get(run_id, [])
                    if not point[0].startswith(("seconds", "system/", *MEASURED))
                ],
                "artifacts": {
                    str(path.relative_to(artifacts)): path.read_bytes()
                    for path in sorted(artifacts.rglob("*"))
                    if path.is_file() and path.name not in OF_ONE_COMMAND and "report" not in path.parts
                },
            }


def _of_run(database: sqlite3.Connection, query: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for run_id, *row in database.execute(query):
        found.setdefault(run_id, []).append(tuple(row))
    return {run_id: sorted(rows) for run_id, rows in found.items()}


def _report(store: Path) -> list[str]:
    """The names of the report's files; its numbers are those of the jobs."""
    return sorted(str(path.relative_to(store)) for path in (store / "reports").rglob("*"))


def difference(expected: Any, found: Any, at: str = "") -> str:
    """Where two truths part."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected.keys() | found.keys():
            if expected.get(key) != found.get(key):
                return difference(expected.get(key), found.get(key), f"{at}.{key}")
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            extra = [row for row in found if row not in expected], [row for row in expected if row not in found]
            return f"{at}: {len(found)} instead of {len(expected)}: {repr(extra)[:1500]}"
        for index, (left, right) in enumerate(zip(expected, found, strict=True)):
            if left != right:
                return difference(left, right, f"{at}[{index}]")
    return f"{at}: {repr(found)[:500]} instead of {repr(expected)[:500]}"


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Returns once it is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
