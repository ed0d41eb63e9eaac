"""What `new` makes of folders: the counts of `plan`, and patients only where the names tell them."""

from pathlib import Path

import pytest

from harness.data.guesses import guess_positive
from harness.data.patient_counts import PATIENTS_UNKNOWN
from harness.prepare import prepare
from harness.store import Store
from harness.study import load_study
from tests.field.conftest import Harness, draw


def one(*parts: str) -> None:
    """Draws an image that is like no other."""
    path = Path(*parts)
    draw(path.parent, 1, pattern=path.name)
    path.write_bytes(path.read_bytes() + path.as_posix().encode())


def guessed(harness: Harness, data: str = "d") -> tuple[str, dict[str, int]]:
    """What `new` prints, and the patients of each class in train/ by the study that it wrote.

    apart: these images are alike to the eye, and only their bytes differ.
    """
    ended = harness("new", "n", "--data", data, "--out", ".")
    assert ended.code == 0, ended
    table = prepare(
        load_study(Path("n.yaml"), ["base.weights=none", "folds.duplicates=apart"]), Store(Path("st"))
    ).inputs.dataset.table
    train = table[table["split"] == "train"]
    return ended.out, {str(label): rows["patient"].nunique() for label, rows in train.groupby("label")}


def test_new_counts_what_plan_counts(harness: Harness) -> None:
    for label, count in (("ILL", 30), ("WELL", 40)):
        draw(Path("d/train", label), count, pattern="p{:02d}.png")
        for image in list(Path("d/train", label).iterdir()):
            image.with_name(f"._{image.name}").write_bytes(b"\0\5\26\7")
    told, _ = guessed(harness)
    text = Path("n.yaml").read_text(encoding="utf-8")
    assert "not read: 70 hidden files, such as train/ILL/._p00.png" in told
    assert "positive: 'ILL'" in text and "k: 3," in text and "ILL: 30, WELL: 40" in text
    assert "the images are 48 x 40\n" in text


NAMES = {  # the names of the images of class A and of class B, and the patients found in each
    "a folder for each patient": ("patient{:02d}/view_{}.png", "patient1{:02d}/view_{}.png", 6, 6),
    "a folder of names": ("anna{:02d}/front/{}.png", "bert{:02d}/back/{}.png", 6, 6),
    "folders that start again": ("patient{:02d}/view_{}.png", "patient{:02d}/view_{}.png", 6, 6),
    "numbers that start again": ("{}_{}.png", "{}_{}.png", 6, 6),
    "letters and numbers": ("PAT{:03d}_IM{:04d}.png", "PAT1{:02d}_IM{:04d}.png", 6, 6),
    "a dash": ("p{}-{}.png", "q{}-{}.png", 6, 6),
    "words": ("patient_{}_slice_{}.png", "control_{}_slice_{}.png", 6, 6),
    "kermany": ("person{}_virus_{}.jpeg.png", "IM-{:04d}-{:04d}.png", 6, 6),
    "two views": ("{:03d}_left_{}.jpg.png", "1{:02d}_right_{}.jpg.png", 6, 6),
    "other letters": ("Пац{}_{}.png", "患者{}_{}.png", 6, 6),
    "days": ("2024-0{}-0{}.png", "2025-0{}-0{}.png", 24, 24),
    "days and times": ("IMG_2024010{}_12000{}.png", "IMG_2025010{}_12000{}.png", 24, 24),
    "years": ("201{}_{}.png", "200{}_{}.png", 24, 24),
    "folders of days": ("2024-01-0{}/{}.png", "2024-02-0{}/{}.png", 24, 24),
    "dates after patients": ("PAT{:03d}_2024-01-0{}.png", "PAT1{:02d}_2024-01-0{}.png", 6, 6),
    "dates in folders": ("ann{}/2024-01-0{}.png", "bob{}/2024-02-0{}.png", 6, 6),
    "days after letters": ("img0{}-05-2024_{}.png", "img1{}-05-2024_{}.png", 24, 24),
    "days with dashes": ("0{}-05-2024_{}.png", "1{}-05-2024_{}.png", 24, 24),
    "words alone": ("lesion{}x{}.png", "healthy{}x{}.png", 24, 24),
}


@pytest.mark.parametrize("kind", NAMES)
def test_patients_are_guessed_from_names_that_tell_them(harness: Harness, kind: str) -> None:
    first, second, *patients = NAMES[kind]
    for label, pattern in (("A", first), ("B", second)):
        for patient in range(6):
            for view in range(1, 5):
                one("d/train", label, pattern.format(patient + 1, view))
    told, found = guessed(harness)
    assert found == dict(zip("AB", patients, strict=True))
    if patients == [24, 24]:
        assert f"{PATIENTS_UNKNOWN}; no rule fits the names" in told
        assert "patients unknown" in Path("n.yaml").read_text(encoding="utf-8")
    else:
        twins = "start again" in kind
        assert f"{'6 in 48 training images, 8.0' if twins else '12 in 48 training images, 4.0'} images each" in told
        assert f"at most {8 if twins else 4}, such as " in told
        assert "check this" in told
        assert ("count as one patient: if they are not the same, write patient_scope: class" in told) == twins


def test_a_number_for_each_image_is_no_patient_of_two_classes(harness: Harness) -> None:
    for split, label, count in (("train", "A", 9), ("train", "B", 9), ("test", "A", 4), ("test", "B", 4)):
        draw(Path("d", split, label), count, pattern="{:d}_1.png")
    told, found = guessed(harness)
    assert found == {"A": 9, "B": 9}
    assert "patients unknown" in told


def test_a_patient_with_images_in_two_classes_is_one(harness: Harness) -> None:
    for label, patients in (("A", (1013, 2045, 7121, 8888)), ("B", (2045, 7121, 9001, 9950))):
        for patient in patients:
            for view in range(2):
                one("d/train", label, f"{patient:06d}_{view:03d}.png")
    told, found = guessed(harness)
    assert found == {"A": 4, "B": 4}
    assert " 6 in 16 training images" in told


def test_no_rule_puts_patients_on_both_sides(harness: Harness) -> None:
    for split in ("train", "test"):
        for label in ("A", "B"):
            for patient in range(4):
                for view in range(2):
                    one("d", split, label, f"{label}{patient}_{view}.png")
    told, _ = guessed(harness)
    assert f"{PATIENTS_UNKNOWN}; the names fit" in told
    assert "8 of its patients, such as A0, are in train/ and in test/" in told


def test_a_few_folders_are_not_taken_for_patients_nor_what_is_in_them(harness: Harness) -> None:
    for label in ("A", "B"):
        for folder in ("ann", "bob"):
            for number in range(6):
                one("d/train", label, folder + label, f"{number // 2}_{number}.png")
    told, found = guessed(harness)
    assert found == {"A": 12, "B": 12}
    assert "may be patients, but A has only 2, and 3 folds need 3" in told


@pytest.mark.parametrize(
    ("counts", "positive", "why"),
    [
        ({"NORMAL": 4, "PNEUMONIA": 9}, "PNEUMONIA", "the other one is called NORMAL"),
        ({"no_finding": 4, "a": 9}, "a", "the other one is called no_finding"),
        ({"x": 4, "y": 9}, "x", "the rarer one, 4 of 13 training images"),
        ({"healthy": 5, "normal": 4}, "normal", "the rarer one, 4 of 9 training images"),
        ({"b": 4, "a": 4}, "b", "both are equally frequent, and it is the first"),
    ],
)
def test_the_positive_class_is_guessed_with_a_reason(counts: dict[str, int], positive: str, why: str) -> None:
    assert guess_positive(counts) == (positive, why)
