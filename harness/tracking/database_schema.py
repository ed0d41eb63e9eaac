"""The schema of MLflow's database: whether it is whole, and of the version that MLflow here reads."""

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow.store.db.utils
from sqlalchemy import create_engine

from harness.errors import HarnessError, first_line
from harness.store import Store
from harness.store.store import sqlite_uri
from harness.tracking.snapshot import damaged

UTILS: Any = mlflow.store.db.utils  # it has no types


def require_usable(store: Store, database: Path) -> None:
    """Raise HarnessError where MLflow cannot open the store's database, or this copy of it. A copy is upgraded."""
    problem = schema_problem(store, database)
    if problem is None:
        return
    if database == store.database:
        raise HarnessError(problem)
    try:
        UTILS._upgrade_db(create_engine(sqlite_uri(database)))
    except Exception as error:  # of a version that is newer than MLflow here, for example
        raise HarnessError(f"{problem}: a copy of it cannot be upgraded: {first_line(error)}") from None


def schema_problem(store: Store, database: Path) -> str | None:
    """Why this version of MLflow cannot use the store's database, or this copy of it; None where it can.

    Raises HarnessError where it is damaged.
    """
    if not database.exists():
        return None
    try:
        found = _version(database)
    except sqlite3.DatabaseError as error:
        raise damaged(store, error) from None
    wanted = UTILS._get_latest_schema_revision()
    if found in (None, wanted):
        return None
    address = shlex.quote(store.database_uri)
    return f"{store.database}: schema {found}, MLflow here wants {wanted}; run: mlflow db upgrade {address}"


def _version(database: Path) -> str | None:
    """The version of the schema; None where the database is empty. Raises sqlite3.DatabaseError."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            return None
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
