"""Terminals and pipes without UTF-8, closed streams, and a user whom the system does not know."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.field.conftest import Harness, draw, four, write_study
from tests.field.outsider import Outsider

ASCII = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
NO_UTF8 = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}


def accents() -> None:
    """Images of two classes with an accent and a Chinese character in the name of one."""
    for split, count in (("train", 8), ("test", 4)):
        draw(Path("d", split, "Lésion健"), count, 60)
        draw(Path("d", split, "WELL"), count)


@pytest.mark.long
@pytest.mark.long
def test_a_run_in_a_locale_without_utf8_reads_and_writes_the_names_as_they_are(harness: Harness) -> None:
    accents()
    write_study()
    ended = harness.apart("run", "s.yaml", env=NO_UTF8)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert "+/-" in ended.out, "a leaderboard has a mean and its SD"
    assert r"L\xe9sion\u5065" in ended.out
    assert ended.out.isascii()
    assert "Lésion健" in Path("mlruns/reports/s/report.md").read_text(encoding="utf-8")
    again = harness.apart("report", "s.yaml", env=ASCII)
    assert (again.code, again.err) == (0, "")
    status = harness.apart("status", "s.yaml", env={"PYTHONUTF8": "1"})
    assert "3 jobs known: 3 done" in status.out, "the same names, and so the same jobs, as in a UTF-8 locale"


@pytest.mark.long
def test_what_a_terminal_cannot_show_is_spelled_out(harness: Harness) -> None:
    accents()
    write_study()
    for env in (ASCII, NO_UTF8):
        plan = harness.apart("plan", "s.yaml", env=env)
        assert plan.code == 0, plan.err
        assert r"L\xe9sion\u5065" in plan.out
        refused = harness.apart("plan", "été.yaml", env=env)
        assert (refused.code, refused.err) == (
            2,
            "error: \\xe9t\\xe9.yaml: no such study file; `harness new NAME --data DIR` writes one\n",
        )


@pytest.mark.long
def test_closed_streams_are_no_error(harness: Harness) -> None:
    four()
    write_study()
    assert harness("plan", "s.yaml").code == 0
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>err', "sh", sys.executable, "-m", "harness.cli", "plan", "s.yaml"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert (done.returncode, Path("err").read_text(encoding="utf-8")) == (0, "")


@pytest.mark.long
@pytest.mark.long
def test_a_user_without_a_name_and_a_home_runs_a_study_in_worker_processes(outsider: Outsider) -> None:
    four()
    write_study()
    outsider.owns("store")
    ended = outsider("run", "s.yaml", "--store", "store", "--workers", "2")
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
