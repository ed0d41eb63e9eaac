"""Completion as a real bash asks for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What bash does on TAB, but for the terminal: it takes words apart at `=`, calls the function, and reads the answers.
ASK = """
source <(_HARNESS_COMPLETE=source_bash harness)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _harness_completion harness
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["harness", "rer"], ["rerun"]),
        (["harness", "run", "x.yaml", "--set", "base.opt"], [f"base.optimizer={o}" for o in ("adam", "adamw", "sgd")]),
        (["harness", "run", "x.yaml", "--set", "folds.k", "=", "5", "--set", "base.optimizer", "=", "s"], ["sgd"]),
        (["harness", "run", "x.yaml", "--set", "folds.grouped", "="], ["true", "false"]),
    ],
)
def test_bash_offers_commands_fields_and_values(tmp_path: Path, typed: list[str], offered: list[str]) -> None:
    command = tmp_path / "harness"
    command.write_text(f"#!{sys.executable}\nfrom harness.cli import main\nmain()\n")
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    asked = ["bash", "--norc", "-c", ASK, "bash", *typed]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == offered, done.stderr
