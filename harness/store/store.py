"""The folder on disk: where everything is stored, and the lock of a running study."""

import atexit
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit

from harness.errors import BusyError, HarnessError
from harness.store.files import NEW_PREFIX, folder_lock, linked, new_folder, readable_content, write_atomic
from harness.store.holders import holder_name, read_holder

READING = (  # what can be done with a store that may only be read
    "these commands only read: status, plan, audit, predict, export, reproduce, ui, cache, doctor, verify, publish,"
    " report --out DIR"
)


class Store:
    """The folder (default `mlruns`) with everything that studies produce.

    server: the address of an MLflow server that gets the runs, instead of a database in the folder.
    mixed_versions: whether tables may mix fits by different versions of packages; they are marked then.
    """

    def __init__(self, root: Path, server: str | None = None, mixed_versions: bool = False) -> None:
        self.root = _absolute(_utf8(root))
        self.server = None if server is None else _checked_address(server)
        self.mixed_versions = mixed_versions
        self.jobs = self.root / "jobs"
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
            there = next(path for path in (self.root, *self.root.parents) if _is_there(path))
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
        return self._first_part(os.R_OK | os.W_OK)

    @property
    def is_readable(self) -> bool:
        """Whether this user may read the store."""
        return self._first_part(os.R_OK) is None

    def _first_part(self, mode: int) -> Path | None:
        if not self.root.exists():
            parts = [next(path for path in self.root.parents if path.exists())]
        else:
            parts = [
                self.root,
                *readable_content(self.root),
                *readable_content(self.root / "cache"),
                *readable_content(self.locks),
            ]
        return next((part for part in parts if not os.access(part, mode | (part.is_dir() and os.X_OK))), None)

    @cached_property
    def writable(self) -> bool:
        """Whether this user may write to the store. Else commands that read it keep what they make in `temporary`."""
        return self.closed_part is None

    @cached_property
    def temporary(self) -> Path:
        """A folder outside the store, which is removed when the process ends."""
        folder = Path(mkdtemp(prefix="harness-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def cache(self) -> Path:
        """The folder of what is made from the images; links to what there is, where the store may not be written."""
        cache = self.root / "cache"
        return cache if self.writable else linked(cache, self.temporary / "cache")

    def require_open(self) -> None:
        """Raise HarnessError where this user may not read and write the store: before anything is computed for it."""
        part = self.closed_part
        if part is not None:
            raise HarnessError(f"--store {self.root}: {self.refusal(part)}")

    def refusal(self, part: Path) -> str:
        """Why the store is closed, by this part of it, what to do, and what can be done nevertheless."""
        what = "it" if part == self.root else str(part)
        if not self.is_readable or not self.root.exists():
            return f"you may not read and write {what}; get permission for it, or name another folder"
        if os.statvfs(part).f_flag & os.ST_RDONLY:
            return f"{what} is on a read-only file system; name a copy or another folder; {READING}"
        return f"you may read but not write {what}; get permission for it, or name another folder; {READING}"

    def as_read_only(self) -> "Store":
        """This store for a command that must not write to it, although it might."""
        store = Store(self.root, self.server, self.mixed_versions)
        vars(store)["writable"] = False
        return store

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder in the store; what a killed process leaves in it is removed by `sweep`."""
        return new_folder(self.root if self.writable else self.temporary)

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
        with self.scratch() as folder:
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

    def refuse_if_run_elsewhere(self) -> None:
        """Raise BusyError where another process runs a study in this store, which it opened under another path."""
        for holder in self.locks.glob("*.json"):
            if (who := read_holder(holder)) and who["pid"] != os.getpid() and who.get("root") != str(self.root):
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
            raise BusyError(f"study {study} is running already in {self.root}: {holder_name(holder)}") from None
        try:
            who = {"pid": os.getpid(), "host": socket.gethostname(), "root": str(self.root), "study_id": study_id}
            write_atomic(holder, json.dumps(who).encode())
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _is_there(path: Path) -> bool:
    """Whether there is such a file or folder. Raises OSError where the system cannot tell, as for too long a name.

    Path.exists says no then, from Python 3.14 on.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _absolute(root: Path) -> Path:
    """The absolute path, without `..`: one store has one path, and stays where it is if a folder on the way goes."""
    absolute = root.absolute()
    with suppress(OSError, RuntimeError):  # RuntimeError: a link to itself, before Python 3.13
        return absolute.resolve() if ".." in absolute.parts else absolute
    return absolute


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
