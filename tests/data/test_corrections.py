"""Labels of training images that a table corrects."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.data.data_lines import data_lines
from harness.data.record import StudyRecord, write_record
from harness.errors import DataError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from tests.conftest import PATIENT

TEXT = """\
study: corrected
data: {{source: folder, path: {root}, image_size: 32, patient: '{rule}', positive: B}}
folds: {{k: 2}}
base: {{backbone: test_resnet, weights: none, epochs: 1}}
stages: [{{name: one, grid: {{head: [dropout-gap]}}}}]
"""
LoadStudy = Callable[..., Study]


@pytest.fixture
def load(image_folder: Path, study_of: LoadStudy) -> LoadStudy:
    return lambda *overrides: study_of(TEXT.format(root=image_folder, rule=PATIENT.replace("'", "''")), *overrides)


def table(folder: Path, *rows: str) -> str:
    (folder / "labels.csv").write_text("\n".join(["image,label,corrected_label", *rows, ""]))
    return f"data.corrections={folder / 'labels.csv'}"


def test_labels_change_and_nothing_else_does(load: LoadStudy, tmp_path: Path, store: Store) -> None:
    plain = prepare(load(), store)
    images = plain.inputs.dataset.table["image"].tolist()
    study = load(table(tmp_path, f"{images[1]},A,B", f"{images[2]},A,", f"{images[13]},B,B"))
    workspace = prepare(study, store)
    before, after = plain.inputs.dataset, workspace.inputs.dataset
    assert after.corrected == ((images[1], "A", "B"),), "one row is empty, and one repeats the label"
    assert after.table.set_index("image")["label"].ne(before.table.set_index("image")["label"]).sum() == 1
    same = ["image", "split", "patient", "sha256"]
    assert after.table[same].equals(before.table[same])
    assert after.digest != before.digest and after.test_images == before.test_images
    assert "labels corrected: 1 of 20 training images (A to B: 1)" in data_lines(study, after)
    record = StudyRecord(write_record(workspace).folder).workspace(store)
    assert record.inputs.dataset.corrected == after.corrected
    assert record.identity == workspace.identity != plain.identity


def test_a_table_without_corrections_is_the_study_without_it(load: LoadStudy, tmp_path: Path, store: Store) -> None:
    plain = prepare(load(), store)
    image = plain.inputs.dataset.table["image"][0]
    assert prepare(load(table(tmp_path, f"{image},A,")), store).identity == plain.identity


def test_held_out_images_are_the_same_whatever_is_corrected(
    load: LoadStudy, tmp_path: Path, store: Store, image_folder: Path
) -> None:
    for path in (image_folder / "test").rglob("*.png"):
        path.unlink()
    for folder in (image_folder / "test" / "A", image_folder / "test" / "B", image_folder / "test"):
        folder.rmdir()
    share = "data.test={share: 0.25, by: patient}"
    plain = prepare(load(share), store).inputs.dataset
    train = plain.table.loc[plain.table["split"] == "train", ["image", "label"]].to_numpy().tolist()
    rows = [f"{image},{label},{'B' if label == 'A' else 'A'}" for image, label in train[:6]]
    changed = prepare(load(share, table(tmp_path, *rows)), store).inputs.dataset
    assert len(changed.corrected) == 6 and changed.test_images == plain.test_images


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("train/A/other.png,A,B", "row 3: the study has no image train/A/other.png"),
        ("train/A/trA1-0.png,A,C", "row 3: unknown class 'C'; allowed: A, B"),
        ("train/A/trA1-0.png,B,A", "row 3: train/A/trA1-0.png has the label 'A', not 'B'"),
        ("test/A/teA0-0.png,A,B", "row 3: test/A/teA0-0.png is a test image"),
        ("train/A/trA0-0.png,A,A", "row 3: train/A/trA0-0.png is in the table twice"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_row(
    row: str, words: str, load: LoadStudy, tmp_path: Path, store: Store
) -> None:
    with pytest.raises(DataError, match=r"data\.corrections: labels\.csv, ") as error:
        prepare(load(table(tmp_path, "train/A/trA0-0.png,A,B", row)), store)
    assert words in str(error.value)


def test_a_file_of_another_kind_is_refused(load: LoadStudy, tmp_path: Path, store: Store) -> None:
    with pytest.raises(DataError, match="is not there"):
        prepare(load(f"data.corrections={tmp_path / 'none.csv'}"), store)
    pd.DataFrame({"image": ["a"], "label": ["A"]}).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match="has no column corrected_label"):
        prepare(load(f"data.corrections={tmp_path / 'labels.csv'}"), store)
