"""The client of a store's MLflow database, and the experiment of a study."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException, RestException

from harness.errors import HarnessError, disk_is_full, first_line
from harness.processes import delay_signals
from harness.store import Store
from harness.store.failpoints import failpoint
from harness.tracking.moved import bring_along

LOST = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")  # what MLflow's errors say of a server that cannot answer

logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises what it logs, with a traceback


class LocalClient(MlflowClient):
    """A client of the store's own database. No signal breaks its calls off: the database would stay locked."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return found if name.startswith("_") or not callable(found) else delay_signals()(found)


def open_client(store: Store) -> MlflowClient:
    """The client of the store's MLflow, which has runs already."""
    if store.server is not None:
        return MlflowClient(tracking_uri=store.server, registry_uri=store.server)
    bring_along(store)
    return LocalClient(tracking_uri=store.database_uri, registry_uri=store.database_uri)


def open_experiment(store: Store, name: str) -> tuple[MlflowClient, str]:
    """The client and the experiment. Database and experiment are made once, under a lock: their first use races."""
    from filelock import FileLock

    if store.server is not None:
        return _open_on_server(store.server, name)
    store.artifacts.mkdir(parents=True, exist_ok=True)
    store.locks.mkdir(parents=True, exist_ok=True)
    bring_along(store)
    with FileLock(store.locks / "mlflow.lock"):
        client = _client(store)
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        if experiment is not None:
            return client, experiment.experiment_id
        _write_ahead(store)
        return client, client.create_experiment(name, artifact_location=(store.artifacts / name).as_uri())


def _open_on_server(server: str, name: str) -> tuple[MlflowClient, str]:
    """The same on a server, which chooses where artifacts go: every client can read and write them through it."""
    client = MlflowClient(tracking_uri=server)
    with _let_in(server):
        experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client, client.create_experiment(name)
        except MlflowException as error:  # somebody else was first
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _open_on_server(server, name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return client, experiment.experiment_id


@contextmanager
def _let_in(server: str) -> Iterator[None]:
    """Turns a server's refusal of the user into one line."""
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
    """Turns the refusal or the silence of the store's tracking server, if it has one, into one line."""
    if store.server is None:
        yield
        return
    try:
        with _let_in(store.server):
            yield
    except Exception as error:
        if not is_lost(error):
            raise
        raise HarnessError(f"--tracking-uri {store.server}: no MLflow server answers: {server_words(error)}") from None


def server_words(error: Exception) -> str:
    """What an error of a server says, short."""
    return first_line(error)[:200]


def is_lost(error: Exception) -> bool:
    """Whether this says that a server cannot be reached or cannot reach its database, rather than that it refuses.

    A full disk under the store's own database is no lost server: there is no room for the results either.
    """
    if disk_is_full(error) and not isinstance(error, RestException):
        return False
    if isinstance(error, MlflowException):
        return error.error_code in LOST
    # Python's own ConnectionError is that of a pipe: of a worker, or of who reads the output.
    return type(error).__module__.startswith(("requests", "urllib3"))


def _client(store: Store) -> MlflowClient:
    """The client; the database is made if it is not there, and made anew where a process was killed as it made it."""
    making = store.locks / "mlflow.making"
    if making.exists():
        for path in store.root.glob(f"{store.database.name}*"):
            path.unlink()
    if store.database.exists():
        return LocalClient(tracking_uri=store.database_uri, registry_uri=store.database_uri)
    making.touch()
    failpoint("tracking.making")
    client = LocalClient(tracking_uri=store.database_uri, registry_uri=store.database_uri)
    failpoint("tracking.made")
    making.unlink()
    return client


def _write_ahead(store: Store) -> None:
    """Lets the UI read while a run writes."""
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
