"""MLflow as the view of a study: written by one process, rebuilt from the ledger where it lacks something."""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A request that is repeated may be written twice; and a server that does not answer must not hold up training.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from harness.tracking.champion import JOB_ID, STUDY_IDS
from harness.tracking.connection import is_lost, reachable, server_words
from harness.tracking.health import orphaned_runs, schema_problem
from harness.tracking.moved import bring_along, old_places
from harness.tracking.stored import HEADS_FOLDER, stored_run
from harness.tracking.tracker import Tracker

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

__all__ = [
    "HEADS_FOLDER", "JOB_ID", "STUDY_IDS", "Tracker", "bring_along", "is_lost", "old_places", "orphaned_runs",
    "reachable", "schema_problem", "server_words", "stored_run",
]  # fmt: skip
