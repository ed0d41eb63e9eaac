"""Where a store keeps things, files that are whole or absent, and the lock of a running study."""

import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import BusyError, HarnessError


class Store:
    """The folder (default `mlruns`) that holds everything a study produces."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.jobs = self.root / "jobs"
        self.cache = self.root / "cache"
        self.data = self.root / "data"
        self.reports = self.root / "reports"
        self.locks = self.root / "locks"
        self.artifacts = self.root / "artifacts"
        self.database = self.root / "mlflow.db"
        try:
            there = next(path for path in (self.root, *self.root.parents) if path.exists())
        except OSError as error:
            raise HarnessError(f"--store {root}: {error.strerror}; name another folder") from None
        if not there.is_dir():
            what = "this" if there == self.root else there
            raise HarnessError(f"--store {root}: {what} is a file; name a folder")

    @property
    def database_uri(self) -> str:
        """The URI of MLflow's database, absolute: a relative one would make a second store elsewhere."""
        return f"sqlite:///{self.database}"

    @contextmanager
    def draft(self) -> Iterator["Store"]:
        """A store within this one that sees its decoded images; `keep` takes over what it holds, else it is removed.

        For what must be computed before it is known whether the request is refused: a refusal leaves nothing behind.
        """
        with new_folder(self.root) as folder:
            draft = Store(folder)
            for path in (self.cache / "pixels").glob("*.npy"):
                (draft.cache / "pixels").mkdir(parents=True, exist_ok=True)
                (draft.cache / "pixels" / path.name).symlink_to(path)
            yield draft

    def keep(self, draft: "Store") -> None:
        """Moves what is new in the cache of a draft into this one's."""
        for path in [path for path in draft.cache.rglob("*") if path.is_file() and not path.is_symlink()]:
            target = self.cache / path.relative_to(draft.cache)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def refuse_if_busy(self, study: str) -> None:
        """Raises BusyError where another runner holds the study; writes nothing where none ever did."""
        if (self.locks / f"{study}.lock").exists():
            with self.locked(study):
                pass

    @contextmanager
    def locked(self, study: str) -> Iterator[None]:
        """Holds the study in this store; the system lets go of it when the process ends, however it ends.

        Raises BusyError, naming the holder.
        """
        from filelock import FileLock, Timeout

        self.locks.mkdir(parents=True, exist_ok=True)
        holder = self.locks / f"{study}.json"
        lock = FileLock(self.locks / f"{study}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(f"study {study} is running already in {self.root}: {_holder(holder)}") from None
        try:
            write_atomic(holder, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        return f"process {who['pid']} on {who['host']}"
    except (OSError, ValueError, KeyError):
        return "the holder has not said its name yet"


def write_atomic(path: Path, content: bytes) -> None:
    """Writes `content` so that `path` is the old file or the new one, never a part."""
    with new_folder(path.parent) as folder:
        part = folder / path.name
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder below `parent`, to be filled and renamed away; what is left in it is removed.

    Parents that had to be made for it and end up empty are removed too: a failure leaves nothing behind.
    """
    with _folder_there(parent):
        folder = parent / f".new-{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def one_maker(path: Path) -> Iterator[None]:
    """Within it no other process makes `path`: whoever waited for it must look first whether it is there by now."""
    from filelock import FileLock

    with _folder_there(path.parent):
        lock = path.with_name(f".{path.name}.lock")
        try:
            with FileLock(lock):
                yield
        finally:
            lock.unlink(missing_ok=True)  # whoever waits on it looks for `path`, and never makes a part of it


@contextmanager
def _folder_there(folder: Path) -> Iterator[None]:
    """Makes a folder and its parents; those that were made now and end up empty are removed again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for path in made:
                path.rmdir()


def sync_folder(folder: Path) -> None:
    """Makes the files of `folder` durable before it is renamed into place."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
