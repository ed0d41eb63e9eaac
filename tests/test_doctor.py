import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from harness import doctor
from harness.doctor import Check, examine, release
from harness.errors import HarnessError
from harness.store import Store
from harness.store.files import new_folder
from harness.study import Study
from tests.conftest import ROOT, Finished

FLOORS = {"mlflow": (3, 11), "torch": (2, 10)}  # below them are known holes


def named(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_a_sound_store_has_nothing_bad(finished: Finished) -> None:
    checks = examine(finished.store, finished.study)
    assert [check for check in checks if check.verdict == "bad"] == []
    assert named(checks, "orphaned runs").text == "none"
    assert named(checks, "half-written folders").text == "none"
    assert named(checks, "weights of test_resnet").text == "none needed"


def test_what_killed_processes_left_is_told_and_what_is_being_written_is_not(finished: Finished) -> None:
    left = finished.store.jobs / ".new-1-dead"
    left.mkdir()
    try:
        with new_folder(finished.store.jobs):
            check = named(examine(finished.store), "half-written folders")
        assert (check.verdict, check.text) == ("look", "1, such as jobs/.new-1-dead; the next run removes them")
        finished.store.sweep()
        assert not left.exists()
    finally:
        left.rmdir() if left.exists() else None


def test_orphaned_runs_and_a_foreign_schema_are_told(store: Store) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(store.database_uri)
    client.create_run(client.create_experiment("demo"), run_name="left")
    assert "such as left" in named(examine(store), "orphaned runs").text
    with store.locked("demo"):
        assert named(examine(store), "orphaned runs").text == "none"
    with sqlite3.connect(store.database) as database:
        database.execute("UPDATE alembic_version SET version_num = 'other'")
    database.close()
    check = named(examine(store), "database")
    assert check.verdict == "bad"
    assert "mlflow db upgrade sqlite+pysqlite:///" in check.text


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    checks = examine(Store(tmp_path / "new"))
    assert named(checks, "store").text == f"{tmp_path}/new, not made yet"
    assert list(tmp_path.iterdir()) == []


def test_weights_that_cannot_be_had_are_bad(store: Store, small_study: Callable[..., Study], tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    study = small_study(f"base.weights={tmp_path}/w.safetensors")
    assert named(examine(store, study), "weights of test_resnet").verdict == "bad"


def test_a_package_below_its_floor_is_bad(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: ["torch>=99", "nothing-of-this-name>=1", "x>=1; extra == 'dev'"])
    text = named(examine(store), "packages").text
    assert "is older than 99; nothing-of-this-name is not installed" in text
    assert "x" not in text.split()


def test_a_gpu_that_torch_cannot_use_is_bad(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> torch.device:
        raise HarnessError(f"--device {name}: this machine has a GPU, which torch cannot use")

    monkeypatch.setattr(doctor, "choose_device", refuse)
    check = named(examine(store), "device")
    assert (check.verdict, check.text) == ("bad", "--device auto: this machine has a GPU, which torch cannot use")


def test_what_a_gpu_needs_to_compile_is_looked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "torch.compile" not in [check.name for check in examine(store)], "on a CPU nothing is compiled unasked"
    monkeypatch.setattr(doctor, "choose_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(doctor, "device_name", lambda _: "NVIDIA H100")
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    headers = tmp_path / "Python.h"
    headers.touch()
    check = named(examine(store), "torch.compile")
    assert (check.verdict, check.text) == ("ok", f"{sys.executable}, {headers}")
    headers.unlink()
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    check = named(examine(store), "torch.compile")
    assert check.verdict == "look"
    assert check.text.startswith(f"no C compiler (gcc or clang on PATH, or CC) and no {headers} (")


@pytest.mark.parametrize(
    ("text", "numbers"), [("2.10.0+cpu", (2, 10, 0)), ("3.17.2", (3, 17, 2)), ("5.0.0rc1", (5, 0, 0)), ("x", ())]
)
def test_a_release_is_its_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert release(text) == numbers


def test_the_floors_are_above_known_holes_and_the_pins_above_the_floors() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    floors = {name: release(number) for name, _, number in (line.partition(">=") for line in wanted)}
    for name, floor in FLOORS.items():
        assert floors[name] >= floor
    lines = (ROOT / ".constraints.txt").read_text().splitlines()
    pins = {
        name.lower().replace("_", "-"): release(number) for name, _, number in (line.partition("==") for line in lines)
    }
    for name, numbers in floors.items():
        assert pins[name.lower()] >= numbers, name


@pytest.mark.slow
def test_the_command_prints_one_page(finished: Finished) -> None:
    command = [sys.executable, "-m", "harness.cli", "doctor", "--store", str(finished.store.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) < 40
    assert "orphaned runs" in done.stdout


@pytest.fixture
def broken(finished: Finished, tmp_path: Path) -> Store:
    """A copy of a store in which a study was run, for damage."""
    return finished.copy_to(tmp_path / "broken")


def test_what_a_copy_lacks_is_told_with_what_mends_it(broken: Store, finished: Finished) -> None:
    artifacts = named(examine(broken), "artifacts")
    assert artifacts.verdict == "look"
    assert f"of {finished.store.root}, which this store was moved or copied from; the next run" in artifacts.text
    reading = examine(broken.as_read_only())
    assert "commands read them as they are here" in named(reading, "artifacts").text
    model, run = (next(broken.artifacts.glob(f"small/{place}")) for place in ("models/m-*", "[0-9a-f]*"))
    for folder in (model, run, next(broken.jobs.iterdir())):
        shutil.rmtree(folder)
    for checks in (examine(broken), examine(broken.as_read_only())):
        artifacts, lost = named(checks, "artifacts"), named(checks, "lost results")
        assert artifacts.verdict == "bad"
        assert artifacts.text.startswith("2 folders are missing, such as ")
        assert f"copy them from {finished.store.root} if they are there" in artifacts.text
        assert lost.verdict == "look"
        assert "have no result" in lost.text


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 20)


@pytest.mark.parametrize(
    ("pattern", "check", "mend"),
    [
        ("jobs/*/result.json", "results", "the next run fits it again"),
        ("jobs/*/predictions.parquet", "results", "restore it from a copy"),
        ("jobs/*/model.safetensors", "results", "restore it from a copy"),
        ("cache/folds/*.json", "cache", "harness cache --clear all"),
        ("cache/pixels/*.npy", "cache", "harness cache --clear all"),
        ("reports/small/statistics.json", "reports", "harness report STUDY"),
    ],
)
def test_a_damaged_file_is_told_with_what_mends_it(broken: Store, pattern: str, check: str, mend: str) -> None:
    path = next(broken.root.glob(pattern))
    cut(path)
    found = list(doctor._files(broken))
    bad = [one.name for one in found if one.verdict == "bad"]
    assert bad == [check]
    text = named(found, check).text
    assert text.startswith(f"1 cannot be read, such as {path.relative_to(broken.root)} (")
    assert mend in text


def test_a_database_with_a_damaged_page_is_told(broken: Store) -> None:
    with closing(sqlite3.connect(broken.database)) as database:
        database.execute("PRAGMA journal_mode=DELETE").fetchall()
    with broken.database.open("r+b") as file:
        file.seek(-3 * 4096, os.SEEK_END)
        file.write(bytes(4096))
    for store in (broken, broken.as_read_only()):
        check = named(examine(store), "database")
        assert (check.verdict, "is damaged (" in check.text) == ("bad", True)


def half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [half, lambda path: path.write_bytes(b"no database" * 999)], ids=["half", "other"])
def test_a_damaged_database_is_told_in_one_line_by_every_command(
    broken: Store, finished: Finished, damage: Callable[[Path], None]
) -> None:
    from harness.tracking.connection import open_client, open_experiment

    damage(broken.database)
    check = named(examine(broken), "database")
    assert check.verdict == "bad"
    assert "is damaged (" in check.text
    assert f"move it and {broken.artifacts} away" in check.text
    for store in (broken, broken.as_read_only()):
        with pytest.raises(HarnessError, match="is damaged"):
            open_client(store)
        with pytest.raises(HarnessError, match="is damaged"):
            open_experiment(store, finished.study.study)
