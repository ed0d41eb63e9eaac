"""Optuna's database: SQLite for processes on one machine, PostgreSQL for several machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from harness.errors import HarnessError, first_line, redact

URL_FORM = "write it as postgresql://user@host/name, with %40 for @ and %2F for / in a password"
ADVISORY_LOCK_KEY = 0x6861726E65737301  # "harness" in ASCII, and a number


def check_storage(url: str) -> None:
    """Raise HarnessError where no database can be reached at this URL. Writes nothing."""
    with readable(url):
        if make_url(url).get_backend_name() != "sqlite":  # connecting would create the file
            create_engine(url, poolclass=NullPool).connect().close()


def open_storage(url: str, **options: Any) -> RDBStorage:
    """Open Optuna's storage at `url`. Call it within `exclusive(url)`: creating the tables is not safe otherwise.

    Raises HarnessError where it cannot be opened.
    """
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine: dict[str, Any] = {"connect_args": {"timeout": 100}} if sqlite else {"pool_pre_ping": True}
    with readable(url):
        return RDBStorage(url, engine_kwargs=engine, **options)


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Lock the database for this process; the lock is released when the process dies.

    SQLite has no row locks: without this lock two workers could take the same trial. In PostgreSQL the server holds
    it, for all machines. Other databases get no lock: their row locks are enough to take a trial safely.
    """
    at = make_url(url)
    if at.get_backend_name() == "sqlite":
        with FileLock(f"{at.database}.lock"):
            yield
    elif at.get_backend_name() == "postgresql":
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK_KEY})
            yield
    else:
        yield


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Turn the errors of a wrong --storage into a HarnessError of one line, without the password."""
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
        raise HarnessError(f"{shown}: cannot be opened: {_words(error)}; {URL_FORM}") from None


def _shown(url: str) -> str:
    """The URL without its password. Raises HarnessError, which repeats no part of it, where it is not a URL."""
    try:
        at = make_url(url)
    except Exception:  # the ValueError of a wrong port repeats it, and it may be part of the password
        raise HarnessError(f"--storage: this is no database URL; {URL_FORM}") from None
    if "@" in (at.host or ""):
        raise HarnessError(f"--storage: the password contains an @; {URL_FORM}")
    return redact(url)


def _words(error: Exception) -> str:
    return redact(first_line(error))
