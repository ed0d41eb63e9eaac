"""What `new` makes of folders: the counts of `plan`, and patients only where the names tell them."""

from pathlib import Path

import pytest

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
    """What `new` prints, and the patients of each class in train/ by the study that it wrote."""
    ended = harness("new", "n", "--data", data, "--out", ".")
    assert ended.code == 0, ended
    table = prepare(load_study(Path("n.yaml"), ["base.weights=none"]), Store(Path("st"))).inputs.dataset.table
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
    "days": ("2024-0{}-0{}.png", "2025-0{}-0{}.png", 24, 24),
    "days and times": ("IMG_2024010{}_12000{}.png", "IMG_2025010{}_12000{}.png", 24, 24),
    "years": ("201{}_{}.png", "200{}_{}.png", 24, 24),
    "folders of days": ("2024-01-0{}/{}.png", "2024-02-0{}/{}.png", 24, 24),
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
        assert "patients unknown: no rule fits the names" in told
        assert "patients unknown" in Path("n.yaml").read_text(encoding="utf-8")
    else:
        assert "patients guessed from the names: 12 of 48 training images, such as " in told
        assert "at most 4 images each" in told
        assert ("count as different patients" in told) == ("start again" in kind)


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
    assert " 6 of 16 training images" in told


def test_no_rule_puts_patients_on_both_sides(harness: Harness) -> None:
    for split in ("train", "test"):
        for label in ("A", "B"):
            for patient in range(4):
                for view in range(2):
                    one("d", split, label, f"{label}{patient}_{view}.png")
    told, _ = guessed(harness)
    assert "patients unknown: the names fit" in told
    assert "8 of its patients, such as A0, are in train/ and in test/" in told
