"""Checks of MLflow's database for the doctor. Reads only."""

import shlex
import sqlite3
from collections.abc import Collection
from typing import Any

import mlflow.store.db.utils
from alembic.script import ScriptDirectory
from mlflow import MlflowClient

from harness.store import Store
from harness.tracking.connection import search_runs


def schema_problem(store: Store) -> str | None:
    """Why this version of MLflow cannot use the store's database; None where it can."""
    try:
        with sqlite3.connect(f"{store.database.as_uri()}?mode=ro", uri=True) as database:
            found = [row[0] for row in database.execute("SELECT version_num FROM alembic_version")]
        database.close()
    except sqlite3.Error as error:
        return f"{store.database}: {error}"
    utils: Any = mlflow.store.db.utils
    head = ScriptDirectory.from_config(utils._get_alembic_config(store.database_uri)).get_current_head()
    if found == [head]:
        return None
    address = shlex.quote(store.database_uri)
    return f"{store.database}: schema {found}, MLflow here wants {head}; run: mlflow db upgrade {address}"


def orphaned_runs(store: Store, held: Collection[str]) -> list[str]:
    """The names of runs that are RUNNING although no process runs their study. held: the studies that are run."""
    client = MlflowClient(tracking_uri=store.database_uri)
    return [
        str(run.info.run_name)
        for experiment in client.search_experiments()
        if experiment.name not in held
        for run in search_runs(client, experiment.experiment_id, "attributes.status = 'RUNNING'")
    ]
