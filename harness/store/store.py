"""The folder on disk: where everything is stored, and the lock of a running study."""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.errors import BusyError, HarnessError
from harness.store.files import NEW_PREFIX, folder_lock, new_folder, write_atomic


class Store:
    """The folder (default `mlruns`) with everything that studies produce.

    server: the address of an MLflow server that gets the runs, instead of a database in the folder.
    mixed_versions: whether tables may mix fits by different versions of packages; they are marked then.
    """

    def __init__(self, root: Path, server: str | None = None, mixed_versions: bool = False) -> None:
        self.root = _utf8(root).absolute()
        self.server = None if server is None else _checked_address(server)
        self.mixed_versions = mixed_versions
        self.jobs = self.root / "jobs"
        self.cache = self.root / "cache"
        self.data = self.root / "data"
        self.reports = self.root / "reports"
        self.locks = self.root / "locks"
        self.pictures = self.root / "pictures"  # the images that reports show
        self.studies = self.root / "studies"  # the record of each study
        self.checkpoints = self.root / "checkpoints"
        self.states = self.root / "states"
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
        """The URI of MLflow's database, absolute: a relative one would depend on the current folder."""
        return sqlite_uri(self.database)

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: the server or the database."""
        return self.server or self.database_uri

    @property
    def has_runs(self) -> bool:
        """Whether there may be runs already."""
        return self.server is not None or self.database.exists()

    @property
    def closed_part(self) -> Path | None:
        """The first part of the store that this user may not read and write; of its parent folder before it exists."""
        if not self.root.exists():
            parts = [next(path for path in self.root.parents if path.exists())]
        else:
            parts = [self.root, *_inside(self.root), *_inside(self.cache), *_inside(self.locks)]
        return next(
            (part for part in parts if not os.access(part, os.R_OK | os.W_OK | (part.is_dir() and os.X_OK))), None
        )

    def require_open(self) -> None:
        """Raise HarnessError where this user may not read and write the store: before anything is computed for it."""
        part = self.closed_part
        if part is not None:
            raise HarnessError(
                f"--store {self.root}: you may not read and write {'it' if part == self.root else part}; get permission"
                " for it, or name another folder"
            )

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder in the store; what a killed process leaves in it is removed by `sweep`."""
        return new_folder(self.root)

    def abandoned(self) -> Iterator[Path]:
        """The half-written folders that killed processes left: no process has locked them."""
        leaves = {self.jobs, self.data, self.artifacts}  # their subfolders are complete
        for folder, names, _ in os.walk(self.root):
            for name in [name for name in names if name.startswith(NEW_PREFIX)]:
                with suppress(OSError), folder_lock(Path(folder, name), wait=False):
                    yield Path(folder, name)
            names[:] = [] if Path(folder) in leaves else [name for name in names if not name.startswith(NEW_PREFIX)]

    def sweep(self) -> None:
        """Remove what killed processes left: half-written folders, and the checkpoints and states of finished jobs."""
        for folder in self.abandoned():
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self.checkpoints.glob("*"):
            if (self.jobs / folder.name).exists():
                shutil.rmtree(folder, ignore_errors=True)
        for note in self.states.glob("*.json"):
            if (self.jobs / note.stem).exists():
                note.unlink(missing_ok=True)

    @contextmanager
    def draft(self) -> Iterator["Store"]:
        """A temporary store that shares the decoded images of this one; it is removed unless `keep` moves it here.

        For what must be computed before it is known whether the request is refused: a refusal leaves nothing behind.
        """
        with new_folder(self.root) as folder:
            draft = Store(folder)
            for path in (self.cache / "pixels").glob("*.npy"):
                (draft.cache / "pixels").mkdir(parents=True, exist_ok=True)
                (draft.cache / "pixels" / path.name).symlink_to(path)
            yield draft

    def keep(self, draft: "Store") -> None:
        """Move the new files in the cache of a draft into the cache of this store."""
        for path in [path for path in draft.cache.rglob("*") if path.is_file() and not path.is_symlink()]:
            target = self.cache / path.relative_to(draft.cache)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def refuse_if_busy(self, study: str) -> None:
        """Raise BusyError where another process runs the study; writes nothing where it was never run."""
        if (self.locks / f"{study}.lock").exists():
            with self.locked(study):
                pass

    def refuse_if_others_run(self) -> None:
        """Raise BusyError where another process runs any study in this store."""
        for holder in self.locks.glob("*.json"):
            if (who := read_holder(holder)) and who["pid"] != os.getpid():
                self.refuse_if_busy(holder.stem)

    @contextmanager
    def locked(self, study: str, study_id: str | None = None) -> Iterator[None]:
        """Lock the study in this store; the system releases the lock when the process ends, however it ends.

        study_id: which study of this name is run. Raises BusyError, naming the process that has the lock.
        """
        from filelock import FileLock, Timeout

        self.locks.mkdir(parents=True, exist_ok=True)
        holder = self.locks / f"{study}.json"
        lock = FileLock(self.locks / f"{study}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(f"study {study} is running already in {self.root}: {_holder_name(holder)}") from None
        try:
            who = {"pid": os.getpid(), "host": socket.gethostname(), "study_id": study_id}
            write_atomic(holder, json.dumps(who).encode())
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _utf8(root: Path) -> Path:
    """Return the path. Raises HarnessError where its name is not UTF-8: MLflow would change it."""
    try:
        str(root).encode()
    except UnicodeEncodeError:
        raise HarnessError(f"--store {ascii(str(root))[1:-1]}: the name is not UTF-8; name another folder") from None
    return root


def sqlite_uri(path: Path) -> str:
    """The SQLAlchemy URL of an SQLite database, with special characters of its path escaped.

    The driver is named because of MLflow, which creates the folder of a plain `sqlite:///` URL without unescaping it.
    """
    from sqlalchemy.engine import URL

    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def _inside(folder: Path) -> list[Path]:
    """The content of a folder; empty where it may not be read or does not exist."""
    return sorted(folder.iterdir()) if os.access(folder, os.R_OK | os.X_OK) else []


def _checked_address(uri: str) -> str:
    """The address without a slash at its end. Raises HarnessError, which never shows a password."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HarnessError("--tracking-uri: expected http://HOST:PORT or https://HOST, the address of an MLflow server")
    if parts.username is not None or parts.password is not None:
        raise HarnessError(
            "--tracking-uri: the address contains a user or password; set them by the environment variables"
            " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return uri.rstrip("/")


def _holder_name(holder: Path) -> str:
    """The process that has the lock. It writes its name after locking; until then the file may name an old one."""
    for _ in range(20):
        who = read_holder(holder)
        if who is not None:
            return f"process {who['pid']} on {who['host']}"
        time.sleep(0.05)
    return "its process has not written its name yet"


def read_holder(path: Path) -> dict[str, Any] | None:
    """The pid and the host of the process that wrote this file; None where it is no longer running."""
    try:
        who: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if who["host"] == socket.gethostname():
            os.kill(who["pid"], 0)
    except PermissionError:  # it is running, as another user
        return who
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return who
