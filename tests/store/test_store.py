import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BusyError, HarnessError
from harness.store import Store
from harness.store.files import new_folder, write_atomic
from harness.store.holders import read_holder

HOLD = """
import sys
from pathlib import Path
from harness.store import Store
with Store(Path(sys.argv[1])).locked("demo"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(root: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the study demo until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_study_that_is_held_is_refused_with_the_holder_s_pid_and_host(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with holder(tmp_path) as process:
        with pytest.raises(BusyError) as caught, store.locked("demo"):
            pytest.fail("two hold one study")
        assert f"study demo is running already in {tmp_path}" in str(caught.value)
        assert f"process {process.pid} on {socket.gethostname()}" in str(caught.value)
        assert caught.value.exit_code == 3
        with pytest.raises(BusyError, match=f"process {process.pid} "), store.locked("demo"):
            pytest.fail("being refused let the holder's lock go")
        with store.locked("another"):
            pass
        process.communicate()
        with store.locked("demo"):
            pass


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        assert tree(tmp_path), "the dead process left its files"
        store = Store(tmp_path)
        with store.locked("demo"), pytest.raises(BusyError, match=f"process {os.getpid()} on "), store.locked("demo"):
            pytest.fail("two hold one study")


def test_a_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.locked("demo"):
        raise ZeroDivisionError
    assert list(store.locks.glob("*.json")) == []
    with store.locked("demo"):
        pass


def test_a_holder_that_has_not_said_its_name_yet_is_respected(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.locked("demo"):
        (store.locks / "demo.json").write_text("")
        with pytest.raises(BusyError, match="has not written its name"), store.locked("demo"):
            pytest.fail("two hold one study")


def test_a_store_is_absolute_and_makes_nothing_until_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("runs"))
    assert store.root == tmp_path / "runs"
    assert store.database_uri == f"sqlite+pysqlite:///{tmp_path}/runs/mlflow.db"
    assert tree(tmp_path) == []


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"^--store .*file: this is a file; name a folder$"):
        Store(tmp_path / "file")


def test_a_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"^--store "):
        Store(tmp_path / "file" / "below")


def test_a_file_is_written_and_replaced_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert tree(tmp_path) == [tmp_path / "a", tmp_path / "a" / "b", path]


def _fail(*_: Any) -> None:
    raise OSError("the disk is full")


@pytest.mark.parametrize(("place", "name"), [(os, "fsync"), (Path, "replace")])
@pytest.mark.parametrize("existing", [True, False])
def test_a_write_that_fails_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str, existing: bool
) -> None:
    path = tmp_path / "a" / "b" / "file"
    if existing:
        write_atomic(path, b"old")
    before = tree(tmp_path)
    monkeypatch.setattr(place, name, _fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_atomic(path, b"new")
    assert tree(tmp_path) == before
    assert not existing or path.read_bytes() == b"old"


def test_a_write_is_whole_on_the_disk_before_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    path = tmp_path / "file"

    def fsync(descriptor: int) -> None:
        assert not path.exists()
        synced.append(Path(f"/proc/self/fd/{descriptor}").read_bytes())

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc")
    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(path, b"content")
    assert synced == [b"content"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, None])
def test_a_new_folder_that_is_not_renamed_away_vanishes_with_the_parents_it_had_made(
    tmp_path: Path, error: type[BaseException] | None
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(error) if error else nullcontext(), new_folder(tmp_path / "there" / "a" / "b") as folder:
        assert folder.parent == tmp_path / "there" / "a" / "b"
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
        if error:
            raise error
    assert tree(tmp_path) == [tmp_path / "there"]


def test_what_is_moved_out_of_a_new_folder_stays(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as folder:
        (folder / "file").touch()
        folder.rename(tmp_path / "a" / "done")
    assert tree(tmp_path) == [tmp_path / "a", tmp_path / "a" / "done", tmp_path / "a" / "done" / "file"]


def test_a_parent_that_someone_else_uses_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a"):
        (tmp_path / "a" / "of another").touch()
        raise ZeroDivisionError
    assert tree(tmp_path) == [tmp_path / "a", tmp_path / "a" / "of another"]


def test_two_new_folders_in_one_place_are_two(tmp_path: Path) -> None:
    with new_folder(tmp_path) as first, new_folder(tmp_path) as second:
        assert first != second
        shutil.rmtree(first)  # one that is gone already is no failure
    assert tree(tmp_path) == []


def test_a_store_for_reading_writes_outside_and_uses_what_is_cached(tmp_path: Path) -> None:
    store = Store(tmp_path / "a store")
    (store.cache / "pixels").mkdir(parents=True)
    (store.cache / "pixels" / "a.npy").write_text("pixels")
    (store.cache / "probes.json").write_text("{}")
    before, reading = tree(tmp_path), store.as_read_only()
    assert (reading.cache / "pixels" / "a.npy").read_text() == "pixels"
    write_atomic(reading.cache / "pixels" / "b.npy", b"new")
    write_atomic(reading.cache / "probes.json", b"[]")
    with reading.scratch() as folder, reading.draft() as draft:
        assert (draft.cache / "pixels" / "a.npy").read_text() == "pixels"
        write_atomic(draft.cache / "audit" / "c.json", b"{}")
        reading.keep(draft)
        assert not folder.is_relative_to(tmp_path / "a store")
    assert (reading.cache / "audit" / "c.json").exists()
    assert tree(tmp_path) == before
    assert (store.cache / "probes.json").read_text() == "{}"


def test_the_folder_for_reading_is_removed_when_the_process_ends(tmp_path: Path) -> None:
    code = (
        f"from harness.store import Store; from pathlib import Path; s = Store(Path({str(tmp_path)!r})).as_read_only()"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code.format(str(tmp_path))}; print(s.cache); 1 / 0"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert not Path(done.stdout.strip()).parent.exists()


def test_a_holder_in_a_copy_of_a_store_is_that_of_the_original(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with holder(one) as process:
        shutil.copytree(one, two)
        found = read_holder(one / "locks" / "demo.json")
        assert found is not None
        assert found["pid"] == process.pid
        assert read_holder(two / "locks" / "demo.json") is None
        Store(two).refuse_if_run_elsewhere()
        Store(one).refuse_if_run_elsewhere()  # it opened the store under the same path
        one.rename(tmp_path / "three")
        with pytest.raises(BusyError, match="study demo is running already"):
            Store(tmp_path / "three").refuse_if_run_elsewhere()


def test_a_store_has_one_path_however_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    assert Store(tmp_path / "here" / ".." / "store").root == tmp_path / "store"
    assert Store(tmp_path / "link" / ".." / "store").root == tmp_path / "elsewhere" / "store"
    assert Store(tmp_path / "link" / "store").root == tmp_path / "link" / "store"
