"""Optuna's database: SQLite for the processes of one machine, PostgreSQL for those of several."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from harness.errors import HarnessError, first_line, redact

LOOK = "it looks like postgresql://user@host/name; in a password write %40 for @ and %2F for /"
LOCK_KEY = 0x6861726E65737301  # of PostgreSQL's advisory lock: `harness` and a number


def check_storage(url: str) -> None:
    """Raises HarnessError where this is no database that can be reached. Writes nothing."""
    with readable(url):
        if make_url(url).get_backend_name() != "sqlite":  # which would make the file
            create_engine(url, poolclass=NullPool).connect().close()


def open_storage(url: str, **options: Any) -> RDBStorage:
    """Optuna's storage at `url`; the caller holds `exclusive(url)`, as the first use of a database races.

    Raises HarnessError where it cannot be opened.
    """
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine: dict[str, Any] = {"connect_args": {"timeout": 100}} if sqlite else {"pool_pre_ping": True}
    with readable(url):
        return RDBStorage(url, engine_kwargs=engine, **options)


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """While this is held, no other process is in it with the same database. Whoever dies in it lets go.

    SQLite has no row locks: without it two workers could take the same trial. With PostgreSQL it is held by the
    server, for all machines. Other databases have their row locks alone, which make a trial's taking safe.
    """
    at = make_url(url)
    if at.get_backend_name() == "sqlite":
        with FileLock(f"{at.database}.lock"):
            yield
    elif at.get_backend_name() == "postgresql":
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            yield
    else:
        yield


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Turns what a wrong --storage raises into one line, without its password."""
    shown = f"--storage {_shown(url)}"
    try:
        yield
    except ImportError as error:
        raise HarnessError(f"{shown}: {_words(error)}; for PostgreSQL: pip install 'harness[postgres]'") from None
    except OSError as error:
        raise HarnessError(f"{shown}: {_words(error)}") from None
    except Exception as error:
        if not type(error).__module__.startswith("sqlalchemy"):
            raise
        raise HarnessError(f"{shown}: cannot be opened: {_words(error)}; {LOOK}") from None


def _shown(url: str) -> str:
    """The URL without its password. Raises HarnessError, which repeats nothing of it, where it is none."""
    try:
        at = make_url(url)
    except Exception:  # a wrong port is a ValueError that repeats it, and it may be a part of the password
        raise HarnessError(f"--storage: this is no database URL; {LOOK}") from None
    if "@" in (at.host or ""):
        raise HarnessError(f"--storage: the password holds an @; {LOOK}")
    return redact(url)


def _words(error: Exception) -> str:
    return redact(first_line(error))
