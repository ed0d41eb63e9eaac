import json
from pathlib import Path

import pytest

from harness.cli.new_study import write_study
from harness.errors import DataError, StudyError
from harness.models.names import HEADS
from harness.prepare import prepare
from harness.store import Store
from harness.study import load_study
from harness.study.schema import study_schema
from tests.conftest import draw_images


def test_a_new_study_is_whole_and_finds_classes_patients_and_test_set(image_folder: Path, tmp_path: Path) -> None:
    file = write_study("first", image_folder, tmp_path / "studies" / "first.yaml").path
    study = load_study(file)
    assert (study.study, study.data.positive, study.folds.k) == ("first", "B", 3)
    assert study.test is not None
    dataset = prepare(study, Store(tmp_path / "store")).inputs.dataset
    train = dataset.table[dataset.table["split"] == "train"]
    assert (len(train), train["patient"].nunique()) == (20, 10), "two images of each patient"
    text = file.read_text()
    assert "A: 12, B: 8" in text
    assert "the images are 32 x 32" in text


def test_a_rule_that_leaves_too_few_patients_is_no_rule(tmp_path: Path) -> None:
    names = [f"train/{label}/a{patient}_{n}.png" for label in "AB" for patient in (1, 2) for n in range(2)]
    folder = draw_images(tmp_path / "few", {name: seed for seed, name in enumerate(names)})
    assert load_study(write_study("few", folder, tmp_path / "few.yaml").path).data.patient is None


def test_broken_images_and_a_missing_schema_are_no_obstacle(image_folder: Path, tmp_path: Path) -> None:
    for image in (image_folder / "train/A").iterdir():
        image.write_bytes(b"")
    file = write_study("first", image_folder, tmp_path / "new" / "first.yaml").path
    assert json.loads(file.with_name("study.schema.json").read_text()) == study_schema(HEADS)


def test_names_without_a_rule_and_three_classes(tmp_path: Path) -> None:
    names = [f"train/{label}/{word}.png" for label in "ABC" for word in ("one", "two", "three")]
    folder = draw_images(tmp_path / "it's", {name: seed for seed, name in enumerate(names)})
    study = load_study(write_study("three", folder, tmp_path / "three.yaml").path)
    assert (study.data.patient, study.data.positive, study.test) == (None, None, None)
    assert study.data.path == str(folder)


def test_nothing_is_overwritten_and_a_wrong_request_writes_nothing(image_folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.yaml"
    there.write_text("mine")
    with pytest.raises(StudyError, match="exists already"):
        write_study("there", image_folder, there)
    assert there.read_text() == "mine"
    with pytest.raises(StudyError, match="1 to 64 letters"):
        write_study("a/b c", image_folder, tmp_path / "x" / "a/b c.yaml")
    with pytest.raises(DataError, match="no folder train/"):
        write_study("x", image_folder / "train", tmp_path / "x.yaml")
    assert not (tmp_path / "x.yaml").exists() and not (tmp_path / "x").exists()


def test_the_path_in_the_file_has_no_way_back_unless_a_link_needs_it(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "work/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "work/inner")
    write_study("plain", tmp_path / "work/../" / image_folder.name, tmp_path / "plain.yaml")
    assert f"path: '{image_folder}'" in (tmp_path / "plain.yaml").read_text()
    image_folder.rename(tmp_path / "work/images")
    write_study("linked", tmp_path / "link/../images", tmp_path / "linked.yaml")
    assert f"path: '{tmp_path}/link/../images'" in (tmp_path / "linked.yaml").read_text()


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"archive.zip is an archive; unpack it, and name the folder"):
        write_study("x", tmp_path / "archive.zip", tmp_path / "x.yaml")
