"""A study on DICOM files, from its run to the prediction for a file that is new."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from harness.cli import make_app
from harness.data.headers import header
from harness.prepare import prepare
from harness.store import Ledger, Store
from harness.study import load_study
from tests.conftest import run_in
from tests.dicom import write_dicom

STUDY = """\
study: radiographs
data: {source: folder, path: d, image_size: 32, positive: ILL, frame: 1, resize: letterbox}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 8}
stages: [{name: only, select: {metric: val/accuracy}}]
test: {stages: [only]}
"""


def draw(path: Path, number: int) -> None:
    """A radiograph of 12 bits, every other one with white bones; of the ill with a shadow. Some have two frames."""
    rng = np.random.default_rng([number, len(path.parts[-2])])
    values = rng.integers(0, 2000, (40, 32), dtype=np.uint16)
    values[10:20, 10:20] += 1500 * (path.parent.name == "ILL")
    tags = {"WindowCenter": 1800, "WindowWidth": 3000, "PatientID": f"SECRET{number}", "PatientName": "Doe^Jane"}
    kind = "MONOCHROME2"
    if number % 2:
        values, kind = 4095 - values, "MONOCHROME1"
        tags |= {"WindowCenter": 2296}
    write_dicom(path, np.stack([values, values // 2]) if number % 20 == 2 else values, 12, kind, **tags)


@pytest.mark.slow
def test_the_model_of_a_study_on_dicom_files_predicts_them_as_the_study_did(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split, count in (("train", 8), ("test", 5)):
        for label in ("ILL", "WELL"):
            for number in range(count):
                draw(tmp_path / "d" / split / label / f"{split}{label}{number}.dcm", number + 20 * (split == "test"))
    file = tmp_path / "s.yaml"
    file.write_text(STUDY)
    study = load_study(file)
    done = run_in(study, store)
    assert done.run.state.finished
    root = prepare(study, store).inputs.dataset.root
    stored = Ledger(store).predictions(done.run.state.tests[-1].jobs[0].id)
    files = [str(root / image) for image in stored["image"]]
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(make_app(), ["predict", str(file), *files, "--csv", "--store", str(store.root)])
    assert ended.exit_code == 0, ended.output
    found = pd.read_csv(io.StringIO(ended.stdout), float_precision="round_trip")
    columns = ["prob_ILL", "prob_WELL"]
    pd.testing.assert_frame_equal(found[columns], stored[columns], check_exact=True)
    assert found["prob_ILL"].nunique() == len(files) == 10
    assert {header(Path(file))[3] for file in files} == {True, False}  # with several frames, and with one
    report = (done.run.report.parent / "settings.csv").read_text()
    assert "data.frame,1" in report and "data.resize,letterbox" in report
    for path in [*store.root.rglob("*")]:
        if path.is_file() and "cache" not in path.parts:
            assert b"SECRET" not in path.read_bytes() and b"Doe^Jane" not in path.read_bytes(), path
