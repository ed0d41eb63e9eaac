"""An MLflow server of the tests' own, with PostgreSQL behind it, a store of artifacts, and users with passwords."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

# a Python with another version of MLflow, whose server then has what the MLflow of the tests wrote
SERVER_PYTHON = os.environ.get("HARNESS_TEST_MLFLOW", sys.executable)
LOGIN = {"MLFLOW_TRACKING_USERNAME": "tester", "MLFLOW_TRACKING_PASSWORD": "n0t-to-be-shown"}


class MlflowServer:
    """A server that can be stopped and started again at the same address, for who knows LOGIN."""

    def __init__(self, database: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        self._command = [
            SERVER_PYTHON, "-m", "mlflow", "server", "--backend-store-uri", database, "--serve-artifacts",
            "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--app-name", "basic-auth",
        ]  # fmt: skip
        self._users = folder / "users.ini"
        self._users.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\n"
            f"admin_username = {LOGIN['MLFLOW_TRACKING_USERNAME']}\n"
            f"admin_password = {LOGIN['MLFLOW_TRACKING_PASSWORD']}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 600\n"  # else it hashes the password, slowly, at each request
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; it answers some seconds later."""
        environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_AUTH_CONFIG_PATH": str(self._users),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "for sessions in a browser",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, seconds: float = 240) -> None:
        """Waits until it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError(self._log.read_text()[-3000:])

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it, at once or, by SIGTERM, in order."""
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait()
            self._process = None
