"""MLflow as the view of a study: written by one process, rebuilt from the ledger where it lacks something."""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from harness.tracking.health import orphaned_runs, schema_problem
from harness.tracking.stored import stored_run
from harness.tracking.tracker import Tracker

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

__all__ = ["Tracker", "orphaned_runs", "schema_problem", "stored_run"]
