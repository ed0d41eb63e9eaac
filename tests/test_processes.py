import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.processes import require_importable

WITHOUT_PYTHON = """\
import multiprocessing
from harness.cli import main
if __name__ == "__main__":
    multiprocessing.set_executable("/nowhere/python")
    main()
"""
STUDY = """\
study: demo
data: {source: phantom, image_size: 32, phantom: {train: 24, test: 8}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 1}
stages: [{name: one}]
"""


@pytest.mark.slow
@pytest.mark.long
def test_workers_that_cannot_be_started_are_no_lost_server(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "main.py").write_text(WITHOUT_PYTHON)
    done = subprocess.run(
        [sys.executable, "main.py", "run", "study.yaml", "--workers", "2"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "error: no worker process can be started: /nowhere/python: No such file or directory;"
        " with --workers 1 none is needed"
    )


def test_a_worker_says_which_import_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HarnessError, match="started: ModuleNotFoundError: No module named 'no_such_library'; with --w"):
        require_importable("broken")
    require_importable("harness.processes")
