"""A copy of MLflow's database, for commands that read a store that may not be written or was moved."""

import atexit
import shutil
import sqlite3
import tempfile
from contextlib import closing
from hashlib import md5
from pathlib import Path

from harness.errors import HarnessError
from harness.store import Store
from harness.store.store import sqlite_uri
from harness.tracking.moved import old_places, rewrite

MAX_COPIES = 5  # until none of the files has changed meanwhile
SIDES = ("", "-wal", "-journal")  # of a database: what follows its name in those of its files


def database_to_read(store: Store) -> Path:
    """The database of the store for a command that only reads: its own, or a copy in `store.temporary`.

    A copy where it may not be written, as MLflow writes to every database that it opens, or names files in another
    place; in the copy they are those of this store.
    """
    if store.writable and not old_places(store):
        return store.database
    copy = store.temporary / store.database.name
    if not copy.exists():
        try:
            copy_database(store.database, copy)
            rewrite(copy, store)
        except sqlite3.DatabaseError as error:
            copy.unlink(missing_ok=True)
            raise damaged(store, error) from None
        atexit.register(_initialization_lock(copy).unlink, missing_ok=True)
    return copy


def moved_from(store: Store) -> list[Path]:
    """The roots of the stores that the database names in place of this one. Raises sqlite3.DatabaseError."""
    if store.writable:
        return list(old_places(store).values())
    with store.scratch() as folder:
        copy_database(store.database, folder / store.database.name)
        return list(old_places(store, folder / store.database.name).values())


def damaged(store: Store, error: Exception) -> HarnessError:
    """The error that says how a damaged database is replaced."""
    return HarnessError(f"{store.database} is damaged ({error}); {rebuilding(store)}")


def require_whole(store: Store, database: Path) -> None:
    """Raise HarnessError where any page of the store's database, or of this copy, is damaged. Reads all of it."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise damaged(store, error) from None
    if found != "ok":
        raise damaged(store, sqlite3.DatabaseError(found))


def rebuilding(store: Store) -> str:
    """How MLflow's runs are written again."""
    return (
        f"restore it from a copy, or move it and {store.artifacts} away: the next `harness run STUDY` writes the runs"
        " in MLflow again from the results"
    )


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is now, with what its write-ahead log holds. Raises sqlite3.DatabaseError."""
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=30)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    except sqlite3.OperationalError:  # SQLite cannot make the file that it needs beside a log, or roll a journal back
        target.unlink(missing_ok=True)
        _copy_files(source, target)
    with closing(sqlite3.connect(target)) as new:
        new.execute("PRAGMA journal_mode=DELETE").fetchall()  # takes the log in
        new.execute("SELECT count(*) FROM sqlite_master").fetchall()


def _copy_files(source: Path, target: Path) -> None:
    """Copy the files of a database until they stayed the same meanwhile: another machine may write to it."""
    for _ in range(MAX_COPIES):
        before = _stamps(source)
        for side in SIDES:
            file = Path(f"{source}{side}")
            if file.exists():
                shutil.copyfile(file, f"{target}{side}")
        if _stamps(source) == before:
            return
        for side in SIDES:
            Path(f"{target}{side}").unlink(missing_ok=True)
    raise HarnessError(f"{source} changed while it was read, {MAX_COPIES} times; try again")


def _stamps(source: Path) -> list[tuple[int, int]]:
    files = [Path(f"{source}{side}") for side in SIDES]
    return [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]


def _initialization_lock(database: Path) -> Path:
    """The empty file that MLflow leaves for every database that it has opened."""
    name = md5(sqlite_uri(database).encode(), usedforsecurity=False).hexdigest()
    return Path(tempfile.gettempdir(), f"db_init_lock-{name}")
