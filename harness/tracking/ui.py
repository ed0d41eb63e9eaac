"""The MLflow UI of a store."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

from harness.errors import BusyError
from harness.processes import raise_on_signals
from harness.store import Store
from harness.store.store import sqlite_uri

STUDY_ID = re.compile("[0-9a-f]{16}")
APP = "harness"  # the entry point of `ui_app`; an installation in place that is older than it lacks it
PATIENCE_SECONDS = 10  # for the UI to end when it is told to


def store_to_serve(store: Store) -> Store:
    """The store for its UI; for reading only where a process that opened it under another path runs a study in it."""
    from harness.tracking.moved import rewrite_locations

    try:
        if store.writable:
            rewrite_locations(store)
    except BusyError:
        return store.as_read_only()
    return store


def known_studies(store: Store, port: int) -> dict[str, str]:
    """The studies of the store and the runs of each in the UI, the last begun first; name -> URL.

    The link is to the leaderboard, where a study has one alone: variants of a study of the same name have their own.
    """
    from harness.tracking.connection import open_client
    from harness.tracking.links import VIEW_TAG, view_url

    address, found = store.server or f"http://127.0.0.1:{port}", dict[str, str]()
    for experiment in open_client(store).search_experiments(order_by=["creation_time DESC"]):
        keys = [name.removeprefix(VIEW_TAG) for name in experiment.tags if name.startswith(VIEW_TAG)]
        boards = [key for key in keys if STUDY_ID.fullmatch(key)]
        if keys:  # a server may have the experiments of other programs
            key = boards[0] if len(boards) == 1 else None
            found[experiment.name] = view_url(address, experiment.experiment_id, key)
    return found


def ui_command(store: Store, port: int) -> tuple[list[str], dict[str, str]]:
    """The command that serves the store's MLflow UI on 127.0.0.1, and its environment."""
    from harness.tracking.database_schema import require_usable
    from harness.tracking.snapshot import database_to_read

    database = database_to_read(store)
    require_usable(store, database)
    command = [
        sys.executable, "-m", "mlflow", "ui",
        "--backend-store-uri", sqlite_uri(database),
        "--artifacts-destination", store.artifacts.as_uri(),
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    if APP in entry_points(group="mlflow.app").names:
        command += ["--app-name", APP]
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    return command, {**os.environ, **quiet} | ({} if store.writable else {"TMPDIR": str(store.temporary)})


def serve_ui(store: Store, port: int) -> int:
    """Serve the UI until it is stopped, and return its exit code.

    That of a store that may be written replaces this process. Else it shows a copy of the database, which this process
    removes when it ends.
    """
    command, environment = ui_command(store, port)
    if store.writable:
        os.execvpe(command[0], command, environment)
    print(f"{store.root}: the UI shows a copy of its database, which forgets what is changed there", file=sys.stderr)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else the terminal may be closed under it
        raise_on_signals([signal.SIGHUP])
    with _group(command, environment) as process:
        return process.wait()


@contextmanager
def _group(command: list[str], environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A process whose own processes are ended with it."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(PATIENCE_SECONDS)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
