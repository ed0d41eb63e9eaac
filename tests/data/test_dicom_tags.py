"""Tags of DICOM files as metadata."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.cli.new_study import write_study
from harness.data import dicom_tags
from harness.data.dataset import Dataset
from harness.data.manifest import read_dataset
from harness.data.record import records, write_record
from harness.errors import DataError, StudyError
from harness.prepare import prepare
from harness.report.verified.study_inputs import record_items
from harness.store import Store
from harness.study import load_study
from harness.study.data_block import Data
from tests.conftest import draw_images
from tests.dicom import write_dicom

TAGS = ["dicom:Manufacturer", "dicom:PatientAge", "dicom:ViewPosition", "dicom:ImageType", "dicom:KVP"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of PNG files, with three DICOM files among them."""
    folder = tmp_path / "d"
    draw_images(folder, {f"train/{label}/{number}.png": number + ord(label) for label in "AB" for number in range(2)})
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    every: list[dict[str, Any]] = [
        {"Manufacturer": "North", "PatientAge": "045Y", "ViewPosition": "PA", "KVP": "120"},
        {"Manufacturer": "South ", "PatientAge": "006M", "ImageType": ["ORIGINAL", "PRIMARY"], "KVP": "80.5"},
        {"Manufacturer": "", "PatientAge": "", "PatientID": "SECRET", "PatientName": "Doe^Jane"},
    ]
    for number, tags in enumerate(every):
        write_dicom(folder / "train/A" / f"x{number}.dcm", values + number, 12, **tags)
    return folder


def test_a_tag_that_names_no_patient_is_refused_by_name(tmp_path: Path) -> None:
    draw_images(tmp_path / "d", {f"{label}/{n}.png": n for label in "AB" for n in range(4)})
    file = tmp_path / "s.yaml"
    text = (
        "study: s\ndata: {source: folder, path: d, image_size: 32, patient: dicom:%s}\nbase: {backbone: test_resnet}\n"
    )
    text += "stages: [{name: a, grid: {head: [linear]}, select: {metric: val/accuracy}}]\n"
    for tag, words in (("PatientIdd", "unknown DICOM tag"), ("PixelData", "neither text nor"), ("PatientID", "8 of 8")):
        file.write_text(text % tag)
        with pytest.raises((DataError, StudyError), match=words) as caught:
            prepare(load_study(file), Store(tmp_path / "store"))
        assert "data.patient" in str(caught.value)


def read(root: Path, *names: str) -> Dataset:
    return read_dataset(root, Data(source="folder", metadata=list(names)))


def test_tags_go_along_as_metadata(root: Path) -> None:
    dataset = read(root, *TAGS)
    assert dataset.metadata == tuple(TAGS)
    found = dataset.table[dataset.table["image"].str.endswith(".dcm")].set_index("image")[TAGS]
    maker, age, view, kind, voltage = (found[name].tolist() for name in TAGS)
    assert maker[:2] == ["North", "South"] and pd.isna(maker[2])
    assert age[:2] == [45.0, 0.5] and np.isnan(age[2])
    assert view[0] == "PA" and pd.isna(view[1:]).all()
    assert kind[1] == "ORIGINAL\\PRIMARY"
    assert voltage[:2] == [120.0, 80.5]
    others = dataset.table[dataset.table["image"].str.endswith(".png")]
    assert others[TAGS].isna().all(axis=None)
    plain = read(root)
    assert plain.digest == dataset.digest and plain.metadata_digest is None
    assert dataset.metadata_digest not in (None, read(root, TAGS[0]).metadata_digest)


def test_what_identifies_a_patient_is_read_where_it_is_asked_for_and_nowhere_else(root: Path) -> None:
    assert "SECRET" in read(root, "dicom:PatientID").table["dicom:PatientID"].tolist()
    text = read(root, *TAGS).table.to_csv()
    assert "SECRET" not in text and "Doe" not in text


def by_tag(root: Path, tag: str, **more: Any) -> Dataset:
    return read_dataset(root, Data(source="folder", patient=f"dicom:{tag}", **more))


def test_patients_by_a_tag_are_grouped_and_not_named(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    who = {"A": ["0007", "0007 ", "8"], "B": ["9", "9", "8"]}
    for label, numbers in who.items():
        for number, patient in enumerate(numbers):
            file = tmp_path / f"train/{label}/{number}.dcm"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_dicom(file, values + 10 * number + ord(label), 12, PatientID=patient)
    dataset = by_tag(tmp_path, "PatientID")
    names = dataset.table.set_index("image")["patient"]
    assert names["train/A/0.dcm"] == names["train/A/1.dcm"] and names["train/A/2.dcm"] == names["train/B/2.dcm"]
    assert names.nunique() == 3 and dataset.patients_known("train")
    assert names["train/A/0.dcm"] == hashlib.sha256(b"0007").hexdigest()[:16]
    assert "0007" not in dataset.table.drop(columns="sha256").to_csv()
    apart = by_tag(tmp_path, "PatientID", patient_scope="class").table["patient"]
    assert apart.nunique() == 4


def test_images_without_the_tag_of_their_patient_are_counted(root: Path) -> None:
    with pytest.raises(DataError, match=r"6 of 7 images have no DICOM tag PatientID, first train/A/0.png") as error:
        by_tag(root, "PatientID")
    assert error.value.field == ("data", "patient")
    with pytest.raises(DataError, match="unknown DICOM tag 'PatientId'; did you mean PatientID"):
        by_tag(root, "PatientId")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["dicom:Manufacturr"], "unknown DICOM tag 'Manufacturr'; did you mean Manufacturer"),
        (["dicom:PixelData"], "the DICOM tag PixelData is neither text nor a number"),
        (["dicom:VOILUTSequence"], "is neither text nor a number"),
        (["dicom:KVP", "dicom:KVP"], "dicom:KVP stands in the list twice"),
    ],
)
def test_what_is_no_tag_of_text_or_numbers_is_refused(root: Path, names: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(root, *names)


def test_without_pydicom_the_extra_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_tags, "has_pydicom", lambda: False)
    with pytest.raises(DataError, match=r"dicom:KVP needs pydicom: pip install 'harness\[dicom\]'"):
        read(root, "dicom:KVP")


def test_a_table_has_its_own_columns_and_tags_and_a_folder_has_tags_alone(root: Path, tmp_path: Path) -> None:
    images = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
    pd.DataFrame({"image": images, "label": [i.split("/")[1] for i in images], "site": "x"}).to_csv(
        tmp_path / "t.csv", index=False
    )
    file = tmp_path / "s.yaml"
    rest = "base: {backbone: small-cnn}\nstages: [{name: a}]\n"
    file.write_text(
        "study: s\ndata: {source: table, path: t.csv, root: d, metadata: ['dicom:Manufacturer', site]}\n" + rest
    )
    spec = load_study(file).data
    dataset = read_dataset(root, spec)
    assert dataset.metadata == ("dicom:Manufacturer", "site")
    assert set(dataset.table["dicom:Manufacturer"].dropna()) == {"North", "South"}
    file.write_text("study: s\ndata: {source: folder, path: d, metadata: ['dicom:KVP', site]}\n" + rest)
    with pytest.raises(StudyError, match=r"s\.yaml:2: data\.metadata: this is for `source: table`"):
        load_study(file)


def test_a_new_study_takes_the_patients_from_the_tag_and_not_from_folders(tmp_path: Path) -> None:
    for label in "AB":
        for number in range(12):
            values = np.random.default_rng([number, ord(label)]).integers(0, 4096, (16, 16), dtype=np.uint16)
            path = tmp_path / f"d/{label}/series{number % 4}/IM{number}"
            write_dicom(path, values, 12, PatientID=f"{label}{number // 2}")
    written = write_study("d", tmp_path / "d", tmp_path / "d.yaml")
    assert (
        "patients by the rule 'dicom:PatientID', guessed from this tag of the DICOM files: 12 in 24" in written.notes[0]
    )
    study = load_study(written.path)
    assert study.data.patient == "dicom:PatientID"
    workspace = prepare(study, Store(tmp_path / "store"))
    assert workspace.inputs.dataset.table["patient"].nunique() == 12
    assert workspace.inputs.separation.sound, "patients are known, and folds grouped by them"
    write_record(workspace)
    (record,) = records(workspace.store)
    of_patients = [item for item in record_items(record, workspace) if "PatientID" in item.words]
    assert [item.verdict for item in of_patients] == ["cannot be checked"], "without the images"
    (tmp_path / "d/A/plain.png").write_bytes(draw_images(tmp_path / "e", {"x.png": 1}).joinpath("x.png").read_bytes())
    assert load_study(write_study("e", tmp_path / "d", tmp_path / "e.yaml").path).data.patient != "dicom:PatientID"
