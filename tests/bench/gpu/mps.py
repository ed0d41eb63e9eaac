"""NVIDIA's Multi-Process Service, by which the kernels of several processes run at the same time on one GPU."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

CONTROL = "nvidia-cuda-mps-control"
SECONDS = 20.0  # that the daemon has to start or to end


def absent() -> str | None:
    """Why the service cannot be tried here; None where it can."""
    if shutil.which(CONTROL) is None:
        return f"{CONTROL} is not installed"
    if "CUDA_MPS_PIPE_DIRECTORY" in os.environ or Path("/tmp/nvidia-mps").exists():
        return "an MPS daemon of this machine may be running already, for all fits of this bench"
    return None


@contextmanager
def mps() -> Iterator[None]:
    """Run a daemon of our own; processes that are started inside are its clients.

    Raises RuntimeError, with what it says, where it cannot be started.
    """
    folder = mkdtemp(prefix="mps-", dir="/tmp")  # the path of a socket has at most 107 characters
    names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
    os.environ.update(dict.fromkeys(names, folder))
    try:
        _control(["-d"], "")
        try:
            yield
        finally:
            _control([], "quit\n")
    finally:
        for name in names:
            del os.environ[name]
        shutil.rmtree(folder, ignore_errors=True)


def _control(options: list[str], words: str) -> None:
    # Files take its output: the daemon keeps a pipe open, and reading it would never end.
    log = Path(os.environ["CUDA_MPS_LOG_DIRECTORY"]) / "bench.txt"
    with log.open("a", encoding="utf-8") as output:
        done = subprocess.run(
            [CONTROL, *options], input=words, stdout=output, stderr=output, timeout=SECONDS, encoding="utf-8"
        )
    if done.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise RuntimeError(f"{CONTROL} {' '.join(options)} ended with {done.returncode}: {said[-300:]}")
