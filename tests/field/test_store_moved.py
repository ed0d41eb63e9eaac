"""Stores that are moved or copied: what lies in a store goes with it."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harness.doctor import examine
from harness.errors import BusyError
from harness.store import Store
from harness.store.cache import clear
from harness.store.store import sqlite_uri
from harness.tracking.connection import open_client
from harness.tracking.moved import old_places, rewrite_locations
from tests.conftest import SMALL_STUDY, Finished, runs_of
from tests.field.conftest import Harness

MORE = "stages.0.grid={head: [dropout-gap, batchnorm-gap, dropout-flatten]}"


@pytest.fixture
def copied(harness: Harness, finished: Finished, tmp_path: Path) -> Store:  # noqa: ARG001 - in its folder
    """A copy, in `copy`, of a store in which a study was run; its file is `s.yaml`."""
    Path("s.yaml").write_text(SMALL_STUDY)
    return finished.copy_to(tmp_path / "copy")


def content(folder: Path) -> list[str]:
    """The hash and the name of every file; not of what SQLite keeps while a database is open.

    Another process reads the files: see `Finished.copy_to`.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    lasting = [str(path) for path in files if not path.name.endswith(("-shm", "-wal", ".lock"))]
    hashes = subprocess.run(["sha256sum", *lasting], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    assert len(hashes) == len(lasting) > 100
    return hashes


def named_outside(store: Store) -> list[str]:
    """What MLflow's database names by an absolute address that is not in the store's artifacts."""
    found = []
    with closing(sqlite3.connect(store.database)) as database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "source"),
            ("model_versions", "storage_location"),
        ):
            rows = database.execute(f"SELECT {column} FROM {table} WHERE {column} LIKE '%artifacts%'").fetchall()
            assert rows, (table, column)
            found += [row[0] for row in rows if not row[0].startswith(f"{store.artifacts.as_uri()}/")]
    return found


def an_image(store: Store) -> str:
    return str(next(store.data.rglob("test/*/*.png")))


@pytest.mark.long
def test_a_run_in_a_copy_touches_no_file_of_the_original(harness: Harness, finished: Finished, copied: Store) -> None:
    before = content(finished.store.root)
    runs = len(runs_of(finished.store))
    ended = harness("run", "s.yaml", "--store", "copy", "--set", MORE)
    assert ended.code == 0, ended
    (line,) = [line for line in ended.err.splitlines() if "was moved or copied" in line]
    assert str(finished.store.root) in line
    assert content(finished.store.root) == before
    assert len(runs_of(finished.store)) == runs
    assert named_outside(copied) == []
    assert len(runs_of(copied)) > runs
    for run in runs_of(copied):
        assert any((copied.root / run.info.artifact_uri.partition("/copy/")[2]).iterdir())
    assert named_outside(finished.store) == []
    assert "was moved" not in harness("predict", "s.yaml", an_image(copied), "--store", str(finished.store.root)).err


def test_a_moved_store_is_read_where_it_is(harness: Harness, copied: Store) -> None:
    rewrite_locations(copied)
    moved = copied.root.rename("new place")
    store, image = Store(moved), an_image(Store(moved))
    (fold, *_) = runs_of(store, "fold")
    before = content(moved)
    doctor = harness("doctor", "--store", str(moved))
    assert f"{copied.root}, which this store was moved or copied from" in " ".join(doctor.out.split())
    predicted = harness("predict", "s.yaml", image, "--store", str(moved))
    assert predicted.code == 0, predicted
    assert "moved" not in predicted.err
    assert harness("reproduce", fold.info.run_id, "--store", str(moved)).code == 0
    assert content(moved) == before, "what reads changes nothing"
    assert list(old_places(store).values()) == [copied.root]
    report = harness("report", "s.yaml", "--store", str(moved))
    assert report.code == 0, report
    assert f"was moved or copied from {copied.root}: the " in report.err
    assert "moved" not in harness("report", "s.yaml", "--store", str(moved)).err
    assert named_outside(store) == []
    assert not copied.root.exists()


def test_runs_that_a_killed_process_left_are_discarded_after_a_move(harness: Harness, copied: Store) -> None:
    fold = runs_of(copied, "fold")[0]
    with closing(sqlite3.connect(copied.database)) as database, database:
        database.execute("DELETE FROM tags WHERE key = 'harness.complete' AND run_uuid = ?", (fold.info.run_id,))
        database.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", (fold.info.run_id,))
    assert harness("run", "s.yaml", "--store", "copy").code == 0
    found = runs_of(copied, "fold")
    assert fold.info.run_id not in [run.info.run_id for run in found]
    assert {run.info.status for run in found} == {"FINISHED"}


def test_a_store_by_another_name_has_not_moved(copied: Store) -> None:
    rewrite_locations(copied)
    Path("link").symlink_to(copied.root, target_is_directory=True)
    assert old_places(Store(Path("link"))) == {}


def test_what_a_user_keeps_elsewhere_stays_there(copied: Store) -> None:
    rewrite_locations(copied)
    with closing(sqlite3.connect(copied.database)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = 'file:///other/artifacts/7' WHERE name = 'Default'"
        )
    assert old_places(copied) == {}


def test_a_moved_store_of_a_server_is_left_alone(copied: Store) -> None:
    rewrite_locations(Store(copied.root, "http://127.0.0.1:1"))
    assert old_places(copied)


def test_a_moved_store_whose_database_cannot_be_changed_is_refused(harness: Harness, copied: Store) -> None:
    with closing(sqlite3.connect(copied.database)) as database, database:
        database.execute("CREATE TRIGGER t BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'is read-only'); END")
    line = harness.refused("report", "s.yaml", "--store", "copy")
    assert "was moved or copied from" in line
    assert "is read-only" in line
    assert len(old_places(copied)) == 1, "nothing of it was changed"


def test_a_store_is_not_brought_along_under_a_running_study(copied: Store) -> None:
    other = copied.root.with_name("another-name")
    other.symlink_to(copied.root)
    code = f"import sys; from harness.store import Store; from pathlib import Path\nwith Store(Path({str(other)!r}))"
    code += ".locked('small'): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match="study small is running already"):
            rewrite_locations(copied)
        holder.communicate()
    rewrite_locations(copied)
    assert old_places(copied) == {}


def test_artifacts_that_are_still_in_the_old_place_are_told(
    finished: Finished, copied: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    (fold, *_) = runs_of(finished.store, "fold")
    shutil.rmtree(copied.artifacts / "small" / fold.info.run_id)
    rewrite_locations(copied)
    assert "copy the artifacts of 1 run that is still there" in capsys.readouterr().err


OPEN = """
import sys
from pathlib import Path
from harness.store import Store
from harness.tracking.connection import open_client, open_experiment
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read(1)
if sys.argv[2] == "write":
    with store.locked(sys.argv[3]):
        client, _ = open_experiment(store, "small")
else:
    client = open_client(store)
print([run.info.artifact_uri for run in client.search_runs(["1"])])
"""


@pytest.mark.long
def test_processes_that_open_a_moved_store_at_once_all_see_it_where_it_is(copied: Store) -> None:
    ways = [("write", "one"), ("write", "two"), ("read", "")]
    command = [sys.executable, "-c", OPEN, str(copied.root)]
    every = [
        subprocess.Popen(
            [*command, *way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for way in ways
    ]
    for process in every:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in every:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate() for process in every]
    assert [process.returncode for process in every] == [0, 0, 0], told
    for out, _ in told:
        assert out.count("file://") == out.count(f"{copied.artifacts.as_uri()}/") > 5
    assert sum("were rewritten" in err for _, err in told) == 1
    assert named_outside(copied) == []


def test_an_original_in_use_and_its_copy_are_two_stores(finished: Finished, copied: Store) -> None:
    with finished.store.locked("small"):
        shutil.copy(finished.store.locks / "small.json", copied.locks)
        rewrite_locations(copied)
        assert [check.text for check in examine(copied) if check.name == "orphaned runs"] == ["none"]
        with copied.locked("small"):
            pass
        clear(copied)
    assert named_outside(copied) == []
    assert named_outside(finished.store) == []


def another_store(place: Path) -> None:
    (place / "artifacts" / "small").mkdir(parents=True)


def a_file(place: Path) -> None:
    place.write_text("no store")


def a_loop(place: Path) -> None:
    place.symlink_to(place)


@pytest.mark.parametrize("occupy", [another_store, a_file, a_loop])
def test_what_is_in_the_old_place_now_does_not_matter(copied: Store, occupy: Callable[[Path], None]) -> None:
    rewrite_locations(copied)
    store = Store(copied.root.rename("new"))
    occupy(copied.root)
    there = sorted(copied.root.parent.rglob("*"))
    found = [run.info.artifact_uri for run in open_client(store).search_runs(["1"])]
    assert [uri for uri in found if uri.startswith(store.artifacts.as_uri())] == found != []
    rewrite_locations(store)
    assert named_outside(store) == []
    assert sorted(copied.root.parent.rglob("*")) == there


@pytest.mark.parametrize("name", ["what? #1", "50%41 Ärzte", "a'b\"c"])
def test_a_store_is_moved_to_an_odd_place_and_back(
    copied: Store, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = Store(copied.root.rename(name))
    reading = open_client(moved.as_read_only())
    rewrite_locations(moved)
    assert named_outside(moved) == []
    writing = open_client(moved)
    for client in (reading, writing):
        for run in client.search_runs(["1"]):
            assert client.list_artifacts(run.info.run_id)
    link = Path("link")
    link.symlink_to(moved.root, target_is_directory=True)
    assert open_client(Store(link)).tracking_uri == sqlite_uri(Store(link).database)
    rewrite_locations(Store(moved.root.rename(copied.root)))
    assert named_outside(copied) == []
    assert capsys.readouterr().err.count("were rewritten") == 2
