"""The client of a store's MLflow database, and the experiment of a study."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException, RestException

from harness.errors import HarnessError, disk_is_full, first_line
from harness.processes import delay_signals
from harness.store import Store
from harness.store.failpoints import failpoint
from harness.store.store import sqlite_uri
from harness.tracking.database_schema import require_usable
from harness.tracking.moved import rewrite_locations
from harness.tracking.snapshot import database_to_read

LOST = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")  # codes of MLflow's errors when a server cannot answer

logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs with a traceback what it also raises


class LocalClient(MlflowClient):
    """A client of the store's own database. Signals wait until a call has ended: it could leave the database locked."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return found if name.startswith("_") or not callable(found) else delay_signals()(found)


def open_client(store: Store) -> MlflowClient:
    """The client of a store that has runs already, for reading: of its server, its database or a copy of that."""
    if store.server is not None:
        return MlflowClient(tracking_uri=store.server, registry_uri=store.server)
    return _local_client(store, database_to_read(store))


def _local_client(store: Store, database: Path) -> MlflowClient:
    """The client of the store's database, or of a copy of it. Raises HarnessError where MLflow cannot open it."""
    require_usable(store, database)
    uri = sqlite_uri(database)
    return LocalClient(tracking_uri=uri, registry_uri=uri)


def open_experiment(store: Store, name: str) -> tuple[MlflowClient, str]:
    """Open the client and the experiment. Both are created once, under a lock: their first use races."""
    from filelock import FileLock

    if store.server is not None:
        return _open_on_server(store.server, name)
    if not store.writable:
        return _open_copy(store, name)
    store.artifacts.mkdir(parents=True, exist_ok=True)
    store.locks.mkdir(parents=True, exist_ok=True)
    rewrite_locations(store)
    with FileLock(store.locks / "mlflow.lock"):
        client = _client(store)
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        if experiment is not None:
            return client, experiment.experiment_id
        _write_ahead(store)
        return client, client.create_experiment(name, artifact_location=(store.artifacts / name).as_uri())


def _open_copy(store: Store, name: str) -> tuple[MlflowClient, str]:
    """Open both in a copy of the database, for a command that reads a store that may not be written."""
    client = open_client(store)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return client, experiment.experiment_id
    return client, client.create_experiment(name, artifact_location=(store.artifacts / name).as_uri())


def _open_on_server(server: str, name: str) -> tuple[MlflowClient, str]:
    """Open both on a server, which stores the artifacts: every client can read and write them through it."""
    client = MlflowClient(tracking_uri=server)
    with _access_checked(server):
        experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client, client.create_experiment(name)
        except MlflowException as error:  # another process was first
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _open_on_server(server, name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return client, experiment.experiment_id


@contextmanager
def _access_checked(server: str) -> Iterator[None]:
    """Turn the refusal of a user into an error of one line."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            raise
        raise HarnessError(
            f"--tracking-uri {server}: the server refuses the user; give user and password by the environment"
            " variables MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        ) from None


@contextmanager
def reachable(store: Store) -> Iterator[None]:
    """Turn the refusal or the silence of the store's tracking server, if it has one, into an error of one line."""
    if store.server is None:
        yield
        return
    try:
        with _access_checked(store.server):
            yield
    except Exception as error:
        if not is_lost(error):
            raise
        raise HarnessError(f"--tracking-uri {store.server}: no MLflow server answers: {server_words(error)}") from None


def server_words(error: Exception) -> str:
    """The message of a server's error, in 200 characters at most."""
    return first_line(error)[:200]


def is_lost(error: Exception) -> bool:
    """Whether this error means that a server, or its database, cannot be reached, rather than that it refuses.

    A full disk under the store's own database is not a lost server: there is no room for the results either.
    """
    if disk_is_full(error) and not isinstance(error, RestException):
        return False
    if isinstance(error, MlflowException):
        return error.error_code in LOST
    # Python's own ConnectionError comes from a pipe: to a worker, or to the reader of the output.
    return type(error).__module__.startswith(("requests", "urllib3"))


def _client(store: Store) -> MlflowClient:
    """Open the client. The database is created if needed, and again if a process was killed while it did so."""
    making = store.locks / "mlflow.making"
    if making.exists():
        for path in store.root.glob(f"{store.database.name}*"):
            path.unlink()
    if store.database.exists():
        return _local_client(store, store.database)
    making.touch()
    failpoint("tracking.making")
    client = LocalClient(tracking_uri=store.database_uri, registry_uri=store.database_uri)
    failpoint("tracking.made")
    making.unlink()
    return client


def _write_ahead(store: Store) -> None:
    """Switch the database to write-ahead logging, so that the UI can read while a run writes."""
    import sqlite3

    with sqlite3.connect(store.database) as database:
        database.execute("PRAGMA journal_mode=WAL")
    database.close()


def search_runs(client: MlflowClient, experiment_id: str, query: str) -> list[Run]:
    """All runs of an experiment that match, however many."""
    runs, token = [], None
    while True:
        page = client.search_runs([experiment_id], query, max_results=1000, page_token=token)
        runs += list(page)
        token = page.token
        if not token:
            return runs
