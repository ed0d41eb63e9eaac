import multiprocessing.spawn
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import HarnessError
from harness.processes import require_importable

STUDY = """\
study: demo
data: {source: phantom, image_size: 32, phantom: {train: 24, test: 8}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 1}
stages: [{name: one}]
"""


@pytest.mark.slow
def test_workers_that_cannot_be_started_are_no_lost_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", b"/nowhere/python")
    monkeypatch.setattr("sys.argv", ["harness", "run", "study.yaml", "--workers", "2"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    assert told.splitlines()[-1] == (
        "error: no worker process can be started: /nowhere/python: No such file or directory;"
        " with --workers 1 none is needed"
    )


def test_a_worker_says_which_import_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HarnessError, match="started: ModuleNotFoundError: No module named 'no_such_library'; with --w"):
        require_importable("broken")
    require_importable("harness.processes")
