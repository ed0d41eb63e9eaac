"""The command line where a folder is mounted read-only, which binds root too: in a mount namespace of its own."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.test_commands import Ended

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
COMMANDS = """
import contextlib, io, json, subprocess, sys
from pathlib import Path
from harness.cli import main
folder, commands = json.loads(sys.argv[1])
for words in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
    subprocess.run(["mount", *words], check=True)
ended = []
for command in commands:
    out, err, sys.argv = io.StringIO(), io.StringIO(), ["harness", *command]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            ended.append((int(end.code or 0), out.getvalue(), err.getvalue()))
print(json.dumps(ended))
"""


@functools.cache
def skip_unless_possible() -> None:
    """Skips a test where this user may not mount anything."""
    try:
        subprocess.run([*NAMESPACE, "mount", "--bind", "/tmp", "/tmp"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespace can be made here: {error}")


def in_read_only(folder: Path, commands: Sequence[Sequence[str]], temporary: Path) -> list[Ended]:
    """How these commands ended, one after the other in one process. temporary: its folder for temporary files."""
    skip_unless_possible()
    root = str(Path(__file__).parents[2])
    given = {**os.environ, "PYTHONPATH": root, "PYTHONUTF8": "1", "TMPDIR": str(temporary)}
    words = json.dumps([str(folder), [list(command) for command in commands]])
    done = subprocess.run([*NAMESPACE, sys.executable, "-c", COMMANDS, words], capture_output=True, env=given)
    assert done.returncode == 0, done.stderr.decode()
    return [Ended(*each) for each in json.loads(done.stdout.splitlines()[-1])]
