"""Everything in `cases/`, each file in a process of its own, for the simulated device changes torch as a whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CASES = sorted(file for file in (Path(__file__).parent / "cases").glob("*.py") if file.stem != "__init__")
QUICK = ("rules",)


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, id=file.stem, marks=() if file.stem in QUICK else pytest.mark.slow) for file in CASES],
)
def test_on_the_simulated_device(file: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.gpu.plugin", "-p", "no:cacheprovider", str(file)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
