"""Everything in `cases/`, in processes of its own, for the simulated device changes torch as a whole."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT

CASES = {file.stem: file for file in sorted(Path(__file__).parent.glob("cases/*.py")) if file.stem != "__init__"}
QUICK = ("rules",)


@pytest.mark.parametrize(
    "names",
    [pytest.param(QUICK, id="quick"), pytest.param([*CASES.keys() - {*QUICK}], id="long", marks=pytest.mark.long)],
)
def test_on_the_simulated_device(names: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    files = [str(CASES[name]) for name in sorted(names)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.gpu.plugin", "-p", "no:cacheprovider", *files],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
