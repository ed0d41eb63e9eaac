"""The MLflow UI of a store."""

import os
import sys

from harness.store import Store


def ui_command(store: Store, port: int) -> tuple[list[str], dict[str, str]]:
    """The command that serves the store's MLflow UI on 127.0.0.1, and its environment."""
    from harness.tracking.moved import rewrite_locations

    rewrite_locations(store)
    command = [
        sys.executable, "-m", "mlflow", "ui",
        "--backend-store-uri", store.database_uri,
        "--artifacts-destination", store.artifacts.as_uri(),
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    return command, {**os.environ, **quiet}
