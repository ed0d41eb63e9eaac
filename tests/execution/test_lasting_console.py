"""A run goes on where the reader of its lines closes the pipe, and its lines go to a log."""

import subprocess
import sys
from pathlib import Path

SAYS = """
import os, sys
from pathlib import Path
from harness.execution.progress import Reporter

with Reporter() as reporter:
    reporter.say("first")
    sys.stdin.readline()  # the reader has gone
    reporter.say("second")
    reporter.say("third")
    if sys.argv[1:]:
        reporter.log_to(Path(sys.argv[1]))
    reporter.say("fourth")
    print("of a library", file=sys.stderr)
    os.system("echo of a worker >&2")
"""


def said(*log: Path) -> int:
    """Read one line of a run, go, and return its exit code."""
    command = [sys.executable, "-c", SAYS, *map(str, log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stdin
        assert process.stderr.readline() == "first\n"
        process.stderr.close()
        process.stdin.write("\n")
        process.stdin.close()
        return process.wait(timeout=60)


def test_what_nobody_reads_goes_to_the_log_each_line_once(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "small.log"
    assert said(log) == 0
    first, *lines = log.read_text().splitlines()
    assert "closed by its reader" in first
    assert lines == ["fourth", "of a library", "of a worker"]


def test_without_a_log_a_run_goes_on_too() -> None:
    assert said() == 0
