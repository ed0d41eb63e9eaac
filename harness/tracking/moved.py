"""A store that was moved or copied. MLflow's database holds absolute paths; those of the store are rewritten."""

import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness.errors import HarnessError
from harness.store import Store

# The artifact location of every experiment of the harness: its folder has its name, or its runs have our tags.
LOCATIONS = """
    SELECT artifact_location FROM experiments AS e WHERE artifact_location LIKE 'file:%' AND (
        artifact_location LIKE '%/artifacts/' || name
        OR EXISTS (SELECT 1 FROM runs JOIN tags USING (run_uuid)
                   WHERE runs.experiment_id = e.experiment_id AND tags.key = 'harness.level'))
"""


def old_places(store: Store) -> dict[str, Path]:
    """The artifact folders outside this store that its database names: URI -> the root of that store.

    Empty where the store has not moved (another name for the same folder counts as the same), or has no database.
    """
    if not store.database.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{store.database.as_uri()}?mode=ro", uri=True)) as database:
            locations = [str(row[0]) for row in database.execute(LOCATIONS)]
    except sqlite3.Error:  # MLflow itself reports what is wrong with it
        return {}
    folders = {location.rpartition("/")[0] for location in locations} - {store.artifacts.as_uri()}
    places = {folder: _path(folder) for folder in folders}
    return {f: p.parent for f, p in places.items() if p.name == "artifacts" and not _same(p.parent, store.root)}


def rewrite_locations(store: Store) -> None:
    """Rewrite the artifact locations in the database of a store that was moved or copied, and say so in a line.

    Raises BusyError where another process runs a study in the store, HarnessError where it may not be written.
    """
    from filelock import FileLock

    if store.server is not None or not (places := old_places(store)):
        return
    moved = f"{store.root} was moved or copied from {', '.join(str(root) for root in places.values())}"
    try:
        store.refuse_if_others_run()  # under the old path: they would write the old locations
        store.locks.mkdir(exist_ok=True)
        with FileLock(store.locks / "mlflow.lock"):
            count = _rewrite(store)
    except (OSError, sqlite3.Error) as error:
        raise HarnessError(
            f"{moved}, and its MLflow database still names files there, which would be read and written in place of"
            f" its own: it cannot be changed here ({error}); use a copy that may be written"
        ) from None
    if count:
        left = _runs_left_behind(store, places.values())
        more = f"; copy the artifacts of {left} runs that are still there, too" if left else ""
        print(f"{moved}: the {count} locations in its MLflow database were rewritten{more}", file=sys.stderr)


def _rewrite(store: Store) -> int:
    """Rewrite every text column that holds a location, whatever MLflow's version, and return how many were changed."""
    count, new = 0, store.artifacts.as_uri()
    with closing(sqlite3.connect(store.database, timeout=100, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        for old in old_places(store):
            for table, column in _texts(database):
                change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
                count += database.execute(change, (new, len(old) + 1, len(old) + 1, f"{old}/")).rowcount
        database.execute("COMMIT")
    return count


def _runs_left_behind(store: Store, places: Iterable[Path]) -> int:
    """The number of runs whose artifacts are only in the old store: earlier versions wrote there after a move."""
    with closing(sqlite3.connect(store.database)) as database:
        folders = [_path(row[0]) for row in database.execute("SELECT artifact_uri FROM runs")]
    own = [path.relative_to(store.root) for path in folders if path.is_relative_to(store.root) and not path.exists()]
    return sum(any((root / path).exists() for root in places) for path in own)


def _path(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))


def _texts(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every text column: table and name, quoted."""
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if "CHAR" in kind or "TEXT" in kind:
                yield f'"{table}"', f'"{column}"'


def _same(first: Path, second: Path) -> bool:
    """Whether both are the same folder: a store that is reached by another name has not moved."""
    try:
        return first.samefile(second)
    except OSError:
        return False
