"""What a Python process takes: its CPU time, and the peak of its own memory."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

OUT = "HARNESS_BENCH_OUT"
# The process says itself what it took: one that is started begins with the peak of the one that starts it, and the
# largest of the children of a launcher is not always the one that is meant.
_MEASURED = f"""
import atexit, json, os, resource, runpy, sys
from pathlib import Path

def peak():
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def note():
    both = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    Path(os.environ["{OUT}"]).write_text(json.dumps([sum(u.ru_utime + u.ru_stime for u in both), peak()]))

atexit.register(note)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Used:
    """What a process took: CPU seconds, with those of its children, and the peak of its resident bytes.

    Pages of mapped files count in the peak.
    """

    cpu: float
    peak: int


def used(arguments: Sequence[str]) -> Used:
    """What `python -m ARGUMENTS` takes. Raises RuntimeError where it fails."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "used.json"
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *arguments],
            capture_output=True, encoding="utf-8", check=False, env={**os.environ, OUT: str(out)},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-500:]}")
        return Used(*json.loads(out.read_text(encoding="utf-8")))
