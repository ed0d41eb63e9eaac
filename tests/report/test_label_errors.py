"""The page of suspicious labels, and the report of a study whose labels were corrected."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.prepare import prepare
from harness.report.label_errors import FILE, write_label_errors
from harness.report.numbers.label_suspects import CORRECTED, label_suspects
from harness.report.numbers.marks import marks_of
from harness.report.numbers.predictions import Predictions
from harness.report.write import write_report
from harness.study.state import StudyState
from tests.conftest import Finished


def test_the_page_ranks_training_images_by_all_scenarios(finished: Finished, tmp_path: Path) -> None:
    workspace = prepare(finished.study, finished.store)
    found = write_label_errors(workspace, tmp_path / "labels")
    table = pd.read_csv(found.out / FILE)
    train = workspace.inputs.dataset.table.query("split == 'train'").set_index("image")
    assert len(table) == found.suspects > 0 and found.images == len(train)
    assert set(table["image"]) <= set(train.index), "no test image"
    assert (train.loc[table["image"], "label"].to_numpy() == table["label"]).all()
    assert table["label_quality"].is_monotonic_increasing and (table["label"] != table["suggested_label"]).all()
    assert set(table["predictions"]) == {len(finished.run.state.scenarios)}, "one repeat of every scenario"
    assert table[CORRECTED].isna().all() and set(table["mark"]) == {"SYNTHETIC DATA"}
    page = (found.out / "index.html").read_text()
    assert "SYNTHETIC DATA" in page and "The test set was not read." in page and "data:image/jpeg" in page
    assert pd.read_csv(found.out / "label-noise.csv")["images"].is_monotonic_decreasing
    with pytest.raises(HarnessError, match="may hold labels that were corrected"):
        write_label_errors(workspace, found.out)


def test_nothing_is_ranked_before_a_scenario_is_finished(finished: Finished) -> None:
    predictions = Predictions(prepare(finished.study, finished.store).ledger, "PNEUMONIA")
    with pytest.raises(HarnessError, match="no scenario is finished"):
        label_suspects(StudyState((), ()), predictions)


def test_the_report_lists_what_was_corrected(finished: Finished, tmp_path: Path) -> None:
    images = prepare(finished.study, finished.store).inputs.dataset.table["image"]
    file = tmp_path / "corrected.csv"
    pd.DataFrame({"image": [images[0]], "label": ["NORMAL"], CORRECTED: ["PNEUMONIA"]}).to_csv(file, index=False)
    data = finished.study.data.model_copy(update={"corrections": str(file)})
    study = finished.study.model_copy(update={"data": data})
    workspace = prepare(study, finished.copy_to(tmp_path / "store"))
    report = write_report(workspace, workspace.reader.read(), out=tmp_path / "report")
    text = report.read_text()
    assert "Labels corrected: 1 of 48 training images (NORMAL to PNEUMONIA: 1)." in text
    assert f"| {images[0].replace('_', chr(92) + '_')} | NORMAL | PNEUMONIA |".replace("\\", "") in text.replace(
        "\\", ""
    )
    assert pd.read_csv(report.with_name("corrected-labels.csv"))["image"].tolist() == [images[0]]


def test_corrected_labels_mark_what_they_validate_and_not_the_test_set(finished: Finished) -> None:
    dataset, ledger = (w := prepare(finished.study, finished.store)).inputs.dataset, w.ledger
    data = finished.study.data.model_copy(update={"corrections": "corrected.csv"})
    settings = finished.run.state.scenarios[0].settings
    for study, marked in ((finished.study, False), (finished.study.model_copy(update={"data": data}), True)):
        marks = marks_of(study, finished.run.state, synthetic=True)
        assert ((marks.scenario(settings) or "").endswith("LABELS CORRECTED: validation images too")) is marked
        assert "LABELS CORRECTED" not in (marks.test(dataset, settings, ledger) or "")


def test_without_cleanlab_it_says_how_to_get_it(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.count", None)
    predictions = Predictions(prepare(finished.study, finished.store).ledger, "PNEUMONIA")
    with pytest.raises(HarnessError, match=r"not installed: pip install 'harness\[labels\]'"):
        label_suspects(finished.run.state, predictions)
