"""An MLflow server of the tests' own, with PostgreSQL behind it and a store of artifacts."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen


class MlflowServer:
    """A server that can be stopped and started again at the same address."""

    def __init__(self, database: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        self._command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--serve-artifacts",
            "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; it answers some seconds later."""
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
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

    def kill(self) -> None:
        """Kills it, whatever it is at."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
