import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.data.dataset import Dataset
from harness.data.manifest import read_dataset
from harness.errors import DataError, LeakageError
from harness.study.data_block import Data
from tests.conftest import PATIENT, draw_image, draw_images

ONE_OF_EACH = {"train/A/1-0.png": 1, "train/B/2-0.png": 2, "test/A/3-0.png": 3, "test/B/4-0.png": 4}


def read(root: Path, **options: object) -> Dataset:
    return read_dataset(root, Data.model_validate({"source": "folder", "patient": PATIENT, **options}))


each_published_count = pytest.mark.parametrize(  # of Kermany's X-rays, by split and class
    ("split", "label", "images", "patients", "most", "alone"),
    [
        ("train", "NORMAL", 1341, 1211, 4, 1141),
        ("train", "PNEUMONIA", 3875, 2443, 30, 1870),
        ("test", "NORMAL", 234, 225, 3, 220),
        ("test", "PNEUMONIA", 390, 203, 9, 126),
    ],
)


@pytest.fixture(scope="session")
def real(xrays: Path) -> Dataset:
    return read(xrays, patient="kermany", positive="PNEUMONIA")


@each_published_count
def test_the_real_dataset_has_the_published_counts(
    real: Dataset, split: str, label: str, images: int, patients: int, most: int, alone: int
) -> None:
    rows = real.table[(real.table["split"] == split) & (real.table["label"] == label)]
    of_patient = rows["patient"].value_counts()
    assert (len(rows), len(of_patient), of_patient.max(), (of_patient == 1).sum()) == (images, patients, most, alone)


def test_the_real_patients_divide_into_agents_as_published(real: Dataset) -> None:
    sick = real.table[real.table["label"] == "PNEUMONIA"].drop_duplicates(["split", "patient"])
    agents = sick.groupby(["split", sick["patient"].str.partition("/")[0]]).size().to_dict()
    assert agents == {
        ("train", "bacteria"): 1353, ("train", "virus"): 1090, ("test", "bacteria"): 77, ("test", "virus"): 126,
    }  # fmt: skip
    assert (real.table["patient"] == "bacteria/23").sum() == 30


def test_the_real_duplicates_are_found_and_the_pair_across_patients_is_one_group(real: Dataset) -> None:
    copies = real.table[real.table.duplicated("sha256", keep=False)]
    assert len(copies) == 62
    assert copies.groupby("split")["sha256"].nunique().to_dict() == {"train": 24, "test": 6}
    pair = real.table.index[real.table["image"].str.contains("NORMAL2-IM-009[56]-0001")]
    assert len(pair) == 2
    assert len(set(real.table.loc[pair, "patient"])) == 2
    assert len(set(real.groups[pair])) == 1
    assert len(set(real.groups)) == real.table["patient"].nunique() - 1  # nothing else crosses patients


def test_the_table_has_train_before_test_and_the_facts_of_every_file(image_folder: Path) -> None:
    dataset = read(image_folder)
    table = dataset.table
    assert list(table.columns) == ["image", "split", "label", "patient", "sha256", "size"]
    assert list(table["split"]) == ["train"] * 20 + ["test"] * 8
    assert [Path(image).parts[:2] for image in table["image"]] == list(zip(table["split"], table["label"], strict=True))
    assert list(table["size"]) == [(image_folder / image).stat().st_size for image in table["image"]]
    assert dataset.counts(dataset.rows("train")) == {"A": 12, "B": 8}
    assert dataset.counts(dataset.rows("test")) == {"A": 4, "B": 4}
    assert [dataset.classes[i] for i in dataset.labels] == list(table["label"])
    assert dataset.positive == "B"
    assert not dataset.synthetic


def test_images_of_a_patient_are_a_group_and_others_are_not(image_folder: Path) -> None:
    dataset = read(image_folder)
    by_patient = dataset.table.groupby("patient").indices
    assert len(by_patient) == len(set(dataset.groups)) == 14
    assert all(len(set(dataset.groups[rows])) == 1 for rows in by_patient.values())


def test_patients_linked_by_a_chain_of_identical_files_are_one_group(tmp_path: Path) -> None:
    chain = {"train/A/5-0.png": 50, "train/A/5-1.png": 51, "train/A/6-0.png": 51, "train/A/6-1.png": 52}
    root = draw_images(tmp_path, {**ONE_OF_EACH, **chain, "train/A/7-0.png": 52, "train/A/8-0.png": 53})
    dataset = read(root)
    group = dict(zip(dataset.table["patient"], dataset.groups.tolist(), strict=True))
    assert group["5"] == group["6"] == group["7"]
    assert len({group["1"], group["5"], group["8"]}) == 3


def test_the_digest_follows_the_content_and_not_the_place(image_folder: Path, tmp_path: Path) -> None:
    before = read(image_folder).digest
    moved = shutil.copytree(image_folder, tmp_path / "elsewhere")
    assert read(moved).digest == before
    draw_image(moved / "train/A/trA0-0.png", seed=999)
    assert read(moved).digest != before
    assert read(image_folder, patient=None).digest != before


@pytest.mark.parametrize(("val", "expected"), [("ignore", 2), ("train", 3)])
def test_the_val_folder_is_left_out_unless_asked_for(tmp_path: Path, val: str, expected: int) -> None:
    dataset = read(draw_images(tmp_path, {**ONE_OF_EACH, "val/A/9-0.png": 9}), val=val)
    assert len(dataset.rows("train")) == expected
    assert dataset.table["image"].str.startswith("val/").any() == (val == "train")


@pytest.mark.parametrize(
    ("planted", "named"),
    [({"test/A/1-1.png": 9}, "1 patient is"), ({"test/A/9-0.png": 1}, "1 identical file is")],
    ids=["same patient", "identical file"],
)
def test_a_leak_between_train_and_test_is_an_error_that_names_it(
    tmp_path: Path, planted: Mapping[str, int], named: str
) -> None:
    root = draw_images(tmp_path, {**ONE_OF_EACH, **planted})
    with pytest.raises(LeakageError, match=rf"{named} .* such as train/A/1-0\.png and {next(iter(planted))}"):
        read(root)


def test_a_leak_through_the_val_folder_is_an_error(tmp_path: Path) -> None:
    root = draw_images(tmp_path, {**ONE_OF_EACH, "val/A/9-0.png": 3})
    assert len(read(root).rows("train")) == 2
    with pytest.raises(LeakageError):
        read(root, val="train")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"test/A/1-0.png": 1}, "has no folder train/"),
        ({"train/A/1-0.png": 1}, "at least two are needed"),
        ({**ONE_OF_EACH, "test/C/5-0.png": 5}, "test/ has classes that train/ lacks: C"),
        ({"train/A/1-0.png": 1, "train/B/2-0.png": 2, "test/A/3-0.png": 3}, "test/ lacks classes of train/: B"),
    ],
)
def test_classes_that_cannot_be_compared_are_an_error(tmp_path: Path, images: Mapping[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(draw_images(tmp_path, images))


def test_an_empty_class_is_named(image_folder: Path) -> None:
    (image_folder / "train/C").mkdir()
    (image_folder / "train/C/notes.txt").write_text("no image")
    with pytest.raises(DataError, match="class C is empty"):
        read(image_folder)


def test_a_positive_class_that_is_not_there_is_refused_with_the_classes(image_folder: Path) -> None:
    with pytest.raises(DataError, match="positive class C is not in the data; its classes: A, B"):
        read(image_folder, positive="C")


def test_three_classes_have_no_positive_one_unless_it_is_given(tmp_path: Path) -> None:
    root = draw_images(tmp_path, {f"train/{c}/{c}-0.png": i for i, c in enumerate("ABC")})
    assert read(root).classes == ("A", "B", "C")
    assert read(root).positive is None
    assert read(root, positive="B").positive == "B"


def test_other_files_hidden_files_and_folders_within_a_class_are_told_apart(image_folder: Path) -> None:
    (image_folder / "train/A/Thumbs.db").write_text("x")
    draw_image(image_folder / "train/A/.hidden-0.png", 900)
    draw_image(image_folder / "train/.trash/0-0.png", 901)
    draw_image(image_folder / "train/A/deeper/x-0.PNG", 902)
    added = set(read(image_folder).table["image"]) - {f"train/A/trA{n // 2}-{n % 2}.png" for n in range(12)}
    assert {image for image in added if image.startswith("train/") and "/B/" not in image} == {"train/A/deeper/x-0.PNG"}


@pytest.mark.parametrize("limit", [8, 11, 14, 20, 1000])
def test_a_limit_takes_at_most_so_many_images_whole_patients_and_both_classes(image_folder: Path, limit: int) -> None:
    whole, part = read(image_folder), read(image_folder, limit=limit)
    for split in ("train", "test"):
        rows = part.rows(split)
        everything = len(whole.rows(split))
        assert min(limit, everything) - 4 <= len(rows) <= min(limit, everything)
        assert all(part.counts(rows).values())
    sizes = part.table["patient"].value_counts()
    assert (sizes == whole.table["patient"].value_counts()[sizes.index]).all()
    assert part.digest == read(image_folder, limit=limit).digest


def test_a_limit_keeps_the_classes_in_proportion(real: Dataset, xrays: Path) -> None:
    part = read(xrays, patient="kermany", positive="PNEUMONIA", limit=200)
    for split, share in (("train", 3875 / 5216), ("test", 390 / 624)):
        rows = part.rows(split)
        assert 195 <= len(rows) <= 200
        assert abs(part.labels[rows].mean() - share) < 0.02
    assert set(part.table["image"]) < set(real.table["image"])


@pytest.mark.parametrize("limit", [8, 12, 16])
def test_a_limit_takes_a_patient_with_images_of_two_classes_whole(tmp_path: Path, limit: int) -> None:
    of_patients = {"A": range(6), "B": range(3, 9)}  # 3, 4 and 5 have images of both
    paths = [f"train/{c}/{n}-{i}.png" for c, numbers in of_patients.items() for n in numbers for i in range(2)]
    root = draw_images(tmp_path, {path: seed for seed, path in enumerate(paths)})
    whole, part = read(root), read(root, limit=limit)
    sizes = part.table["patient"].value_counts()
    assert (sizes == whole.table["patient"].value_counts()[sizes.index]).all()
