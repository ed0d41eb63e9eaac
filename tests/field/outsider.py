"""The command line as a user who is not root and whom the system does not know, as in a container."""

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.test_commands import Ended

USER = 12345
NAMES = ("USER", "LOGNAME", "LNAME", "USERNAME", "HOME")


def become(command: list[str], env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[bytes]":
    """The command run by that user, with a Python that he can reach."""
    root = Path(__file__).parents[2]
    packages = [path for path in sys.path if path.endswith("site-packages")]
    given = {name: value for name, value in os.environ.items() if name not in NAMES}
    given |= {"PYTHONPATH": os.pathsep.join([str(root), *packages]), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
    drop = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return subprocess.run([*drop, *command], capture_output=True, env=given, timeout=300, check=False)


@functools.cache
def python() -> str:
    """A Python with which that user can run the harness; the test is skipped where there is none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    able = "import os, sys, harness.cli, numpy; sys.exit(not os.access(sys.executable, os.X_OK))"
    for found in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with suppress(OSError):
            if not become([found, "-c", able]).returncode:
                return found
    return pytest.skip("another user can not reach this Python and its packages, or there is no setpriv")


class Outsider:
    """Runs commands as that user in the current folder, which he may enter and read."""

    def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """How the command ended."""
        done = become([python(), "-m", "harness.cli", *arguments], env)
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def refused(self, *arguments: str) -> str:
        """The one line in which the command is refused; raises AssertionError where it is not."""
        ended = self(*arguments)
        assert (ended.code, ended.out) == (2, ""), ended
        (line,) = [line for line in ended.err.splitlines() if not line.endswith(": loading")]
        return line

    def owns(self, folder: str) -> Path:
        """A new folder of that user's."""
        Path(folder).mkdir()
        os.chown(folder, USER, USER)
        return Path(folder)
