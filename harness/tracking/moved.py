"""A store that was moved or copied. MLflow's database holds absolute paths; those of the store are rewritten."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness.errors import HarnessError
from harness.store import Store
from harness.study.number_words import is_are, number_of, verb

# The artifact location of every experiment of the harness: its folder has its name, or its runs have our tags.
LOCATIONS = """
    SELECT artifact_location FROM experiments AS e WHERE artifact_location LIKE 'file:%' AND (
        artifact_location LIKE '%/artifacts/' || name
        OR EXISTS (SELECT 1 FROM runs JOIN tags USING (run_uuid)
                   WHERE runs.experiment_id = e.experiment_id AND tags.key = 'harness.level'))
"""
# The artifacts of every finished run that has some, and of every model.
RUNS = """
    SELECT artifact_uri FROM runs JOIN tags USING (run_uuid)
    WHERE status = 'FINISHED' AND lifecycle_stage = 'active'
        AND tags.key = 'harness.level' AND tags.value IN ('study', 'scenario', 'fold', 'test')
"""
MODELS = "SELECT artifact_location FROM logged_models WHERE status = 2"


def old_places(store: Store, database: Path | None = None) -> dict[str, Path]:
    """The artifact folders outside this store that its database names: URI -> the root of that store.

    Empty where the store has not moved (another name for the same folder counts as the same), or has no database.
    database: a copy to read in place of the store's own.
    """
    database = database or store.database
    if not database.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            locations = [str(row[0]) for row in connection.execute(LOCATIONS)]
    except sqlite3.Error:  # what is wrong with it is said where it is opened
        return {}
    folders = {location.rpartition("/")[0] for location in locations} - {store.artifacts.as_uri()}
    places = {folder: _path(folder) for folder in folders}
    return {f: p.parent for f, p in places.items() if p.name == "artifacts" and not _same(p.parent, store.root)}


def rewrite_locations(store: Store) -> None:
    """Rewrite the locations in the database of a store that was moved or copied, and say so in a line.

    For commands that write to the store; those that read it take `database_to_read`. Raises BusyError where another
    process runs a study in the store under another path, HarnessError where it may not be written.
    """
    from filelock import FileLock

    if store.server is not None or not (places := old_places(store)):
        return
    moved = f"{store.root} was moved or copied from {', '.join(str(root) for root in places.values())}"
    try:
        store.refuse_if_run_elsewhere()  # it would write the old locations
        store.locks.mkdir(exist_ok=True)
        with FileLock(store.locks / "mlflow.lock"):
            count = rewrite(store.database, store)
    except (OSError, sqlite3.Error) as error:
        raise HarnessError(
            f"{moved}, and its MLflow database still names files there, which would be read and written in place of"
            f" its own: it cannot be changed here ({error}); use a copy that may be written"
        ) from None
    if count:
        left = _runs_left_behind(store, places.values())
        more = f"; copy the artifacts of {number_of(left, 'run')} that {is_are(left)} still there, too" if left else ""
        locations = f"the {number_of(count, 'location')} in its MLflow database {verb(count, 'was', 'were')}"
        print(f"{moved}: {locations} rewritten{more}", file=sys.stderr)


def rewrite(database: Path, store: Store) -> int:
    """Rewrite, in one transaction, all that is in another store's folder, and return how many values were changed."""
    count = 0
    with closing(sqlite3.connect(database, timeout=100, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for old, root in old_places(store, database).items():
            count += _rewrite_artifacts(connection, old, store.artifacts.as_uri())
            count += _rewrite_datasets(connection, root, store.root)
        connection.execute("COMMIT")
    return count


def _rewrite_artifacts(connection: sqlite3.Connection, old: str, new: str) -> int:
    """Rewrite every text column that holds the location of an artifact, whatever MLflow's version."""
    count = 0
    for table, column in _texts(connection):
        change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
        count += connection.execute(change, (new, len(old) + 1, len(old) + 1, f"{old}/")).rowcount
    return count


def _rewrite_datasets(connection: sqlite3.Connection, old: Path, new: Path) -> int:
    """Rewrite the folders of images that are in the store; those of other images stay as they are."""
    start, replacement = (json.dumps(f"{root}/")[:-1] for root in (old, new))
    change = "UPDATE datasets SET dataset_source = replace(dataset_source, ?, ?) WHERE instr(dataset_source, ?)"
    return connection.execute(change, (start, replacement, start)).rowcount


def _runs_left_behind(store: Store, places: Iterable[Path]) -> int:
    """The number of runs whose artifacts are only in the old store: earlier versions wrote there after a move."""
    missing = [folder.relative_to(store.root) for folder in missing_artifacts(store, store.database)]
    return sum(any(_exists(root / path) for root in places) for path in missing)


def missing_artifacts(store: Store, database: Path, query: str = RUNS) -> list[Path]:
    """The folders of artifacts in this store that its database names and that are not there.

    database: the store's own, or a copy whose locations are rewritten. query: RUNS or MODELS.
    """
    with closing(sqlite3.connect(database)) as connection:
        folders = [_path(row[0]) for row in connection.execute(query)]
    return [folder for folder in folders if folder.is_relative_to(store.root) and not _exists(folder)]


def _path(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))


def _texts(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every text column: table and name, quoted."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, kind, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            if "CHAR" in kind or "TEXT" in kind:
                yield f'"{table}"', f'"{column}"'


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - pathlib raises where a folder may not be entered


def _same(first: Path, second: Path) -> bool:
    """Whether both are the same folder: a store that is reached by another name has not moved."""
    try:
        return first.samefile(second)
    except OSError:
        return False
