"""A store on a read-only mount: what reads works, what writes says so in one line, and nothing is left anywhere."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import SMALL_STUDY, Finished, runs_of
from tests.field.conftest import Harness
from tests.field.read_only import in_read_only
from tests.field.test_store_moved import an_image, content

WRITING = (
    ("run", "s.yaml"),
    ("test", "s.yaml"),
    ("search", "s.yaml"),
    ("register", "s.yaml"),
    ("rerun", "s.yaml", "--scenario", "dropout-gap", "--fold", "0"),
    ("cache", "--clear", "all"),
    ("plan", "s.yaml", "--probe"),
)


@pytest.mark.long
@pytest.mark.long
def test_what_reads_works_and_what_writes_is_refused(
    harness: Harness,  # noqa: ARG001 - in its folder
    finished: Finished,
    tmp_path: Path,
) -> None:
    Path("s.yaml").write_text(SMALL_STUDY)
    store, temporary = finished.copy_to(tmp_path / "copy"), tmp_path / "temporary"
    temporary.mkdir()
    moved = tmp_path / "moved"
    with closing(sqlite3.connect(store.database)) as other, other:
        other.execute("INSERT INTO registered_model_aliases (name, alias, version) VALUES ('small', 'newest', 1)")
        other.commit()  # to the log, which is copied with the database
        subprocess.run(["cp", "--archive", store.root, moved], check=True)
    assert Path(f"{moved}/mlflow.db-wal").stat().st_size
    Path(f"{moved}/mlflow.db-shm").unlink()
    before = content(moved)
    (fold, *_) = runs_of(finished.store, "fold")
    image = an_image(type(store)(moved))
    reading = (
        ("status", "s.yaml"),
        ("plan", "s.yaml"),
        ("audit", "s.yaml"),
        ("cache",),
        ("doctor",),
        ("predict", "s.yaml", image),
        ("predict", "models:/small@newest", image),
        ("export", "s.yaml", "--onnx", "model.onnx"),
        ("reproduce", fold.info.run_id),
        ("publish", "small", "--out", "published"),
    )
    every = [(*command, "--store", str(moved)) for command in (*reading, *WRITING)]
    *ended, verified = in_read_only(moved, [*every, ("verify", str(moved))], temporary)
    assert verified.code == 0, verified
    for command, one in zip(every[: len(reading)], ended, strict=False):
        assert one.code == 0, (command, one)
    for command, one in zip(every[len(reading) :], ended[len(reading) :], strict=True):
        assert (one.code, one.out) == (2, ""), (command, one)
        (line,) = [line for line in one.err.splitlines() if not line.endswith(": loading")]
        assert line.startswith(f"error: --store {moved}: it is on a read-only file system; "), command
    doctor = " ".join(ended[4].out.split())
    assert "on a read-only file system" in doctor
    assert "commands read them as they are here" in doctor
    assert content(moved) == before
    assert [path.name for path in temporary.iterdir() if path.name.startswith(("harness-", "db_init_lock"))] == []


@pytest.mark.long
def test_a_report_is_read_where_it_is_up_to_date_and_written_elsewhere(
    harness: Harness, finished: Finished, tmp_path: Path
) -> None:
    Path("s.yaml").write_text(SMALL_STUDY)
    copied, temporary = finished.copy_to(tmp_path / "copy"), tmp_path / "temporary"
    temporary.mkdir()
    page = Path(harness("report", "s.yaml", "--store", "copy").out.strip())
    subprocess.run(["cp", "--recursive", copied.root, "moved"], check=True)  # other times of change
    moved = tmp_path / "moved"
    before, there = content(moved), ("--store", str(moved))
    first, by_name, numbers, out, again, closed = in_read_only(
        moved,
        [
            ("report", "s.yaml", *there),
            ("report", "small", *there),
            ("report", "small", "--json", *there),
            ("report", "small", "--out", "out", *there),
            ("report", "small", "--out", "out", *there),
            ("report", "small", "--out", str(moved / "out"), *there),
        ],
        temporary,
    )
    mine = moved / page.relative_to(copied.root)
    assert (first.code, first.out.strip()) == (by_name.code, by_name.out.strip()) == (0, str(mine))
    assert json.loads(numbers.out)["page"] == str(mine)
    assert (out.code, again.code) == (0, 0), (out, again)
    assert {path.name for path in Path("out").iterdir()} == {path.name for path in mine.parent.iterdir()}
    assert Path("out/statistics.json").read_bytes() == mine.with_name("statistics.json").read_bytes()
    assert (closed.code, closed.err.splitlines()[-1]) == (2, f"error: {moved}: Read-only file system")
    assert content(moved) == before
    looks = moved / "looks"
    shutil.rmtree(looks)
    (stale,) = in_read_only(moved, [("report", "small", *there)], temporary)
    assert (stale.code, stale.out) == (2, "")
    assert "would have to be written again (results, looks" in stale.err
    assert str(mine) in stale.err
    assert harness.refused("report", "small", "--store", "copy", "--out", str(tmp_path)).endswith("name a new folder")
