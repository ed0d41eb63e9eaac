"""MLflow as the view of a study: written by one process, rebuilt from the ledger where it lacks something."""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A request that is repeated may be written twice; and a server that does not answer must not hold up training.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
# MLflow sets its own level when it is imported, by this variable. Where that was earlier, the logger is set.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
logging.getLogger("alembic").setLevel(logging.ERROR)
