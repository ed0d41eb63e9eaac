"""What a study ran on: Python, packages, machine, code."""

import os
import platform
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path


def environment() -> str:
    """The text of `environment.txt`: machine, command line, git commit, and every package with its version."""
    packages = sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}, key=str.lower)
    lines = [
        f"python {platform.python_version()}",
        f"platform {platform.platform()}",
        f"processor {_processor()}, {os.cpu_count()} cores",
        f"command {' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}",
        f"git {_git('rev-parse', 'HEAD')}{' (modified)' if _git('status', '--porcelain') else ''}",
    ]
    return "\n".join([*lines, "", *packages]) + "\n"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    """What git says of the folder that the harness is installed from; empty where it is no checkout."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
