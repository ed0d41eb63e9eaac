"""Image folders without train/ and test/, nested ones, linked ones, and files without their endings."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from harness.data.data_lines import data_lines
from harness.data.dataset import Dataset
from harness.data.inputs import Inputs
from harness.data.manifest import read_dataset
from harness.prepare import prepare
from harness.store import Store
from harness.study import load_study
from tests.field.conftest import Harness, draw, four, write_study
from tests.field.test_npz_study import QUICKLY

FLAT_LINE = "no train/ in the folder: the images of its class folders are the training images"


def flat(root: Path = Path("d"), patients: int = 12) -> None:
    """Class folders ILL and WELL with a folder for each patient, which holds two images."""
    for label, bright in (("ILL", 60), ("WELL", 0)):
        for patient in range(patients):
            draw(root / label / f"{label[0]}{patient:02d}", 2, bright)


def read(*options: str) -> Dataset:
    """The images of the study `s.yaml`."""
    spec = load_study(Path("s.yaml"), options).data
    assert spec.path is not None
    return read_dataset(Path(spec.path), spec)


def counts(*options: str) -> dict[tuple[str, str], int]:
    """The images of each split and class."""
    table = read(*options).table
    return dict(Counter(zip(table["split"], table["label"], strict=True)))


def not_read(*options: str) -> list[str]:
    return [str(left) for left in read(*options).left_out]


def inputs_of(*options: str) -> Inputs:
    return prepare(load_study(Path("s.yaml"), options), Store(Path("st"))).inputs


@pytest.mark.long
def test_from_new_to_a_report_with_a_test_set_of_whole_patients(harness: Harness) -> None:
    flat()
    written = harness("new", "n", "--data", "d", "--out", ".")
    assert written.code == 0, written
    assert FLAT_LINE in written.out
    assert "no test set; `data.test: {share: 0.2, by: patient}` holds one out" in written.out
    text = Path("n.yaml").read_text(encoding="utf-8").replace("  # test: {share: 0.2", "  test: {share: 0.2")
    Path("n.yaml").write_text(text.replace("# test: {stages", "test: {stages"), encoding="utf-8")
    planned = json.loads(harness("plan", "n.yaml", "--json", *QUICKLY).out)
    assert [(row["split"], row["images"], row["patients"]) for row in planned["data"]] == [
        ("train", 20, 10), ("train", 20, 10), ("test", 4, 2), ("test", 4, 2),
    ]  # fmt: skip
    ran = harness("run", "n.yaml", *QUICKLY)
    assert ran.code == 0, ran
    line = "test set: 8 of 48 images, whole patients, drawn at random (data.test, seed 0)"
    assert FLAT_LINE in ran.err and line in ran.err
    report = Path("mlruns/reports/n/report.md").read_text(encoding="utf-8")
    checklist = Path("mlruns/reports/n/checklist.md")
    assert harness("report", "n.yaml", "--checklist", *QUICKLY).code == 0
    held_out = "the test split is 0.2 of the same images, whole patients, drawn at random (data.test, seed 0)"
    assert checklist.read_text(encoding="utf-8").count(held_out) > 1, (
        "where it stands for partitions and external tests"
    )
    apart = ", nearly identical images on one side."
    assert f"N{FLAT_LINE[1:]}." in report and f"T{line[1:]}{apart}" in report


@pytest.mark.usefixtures("harness")
def test_a_flat_folder_has_the_folds_of_the_same_images_in_train() -> None:
    flat()
    write_study(test="", data="patient: '^(?P<patient>[^/]+)/'")
    found = inputs_of()
    assert FLAT_LINE in data_lines(load_study(Path("s.yaml")), found.dataset)
    Path("e").mkdir()
    Path("d").rename("e/train")
    moved = inputs_of("data.path=e")
    assert [(f.train.tolist(), f.validation.tolist()) for f in found.folds] == [
        (f.train.tolist(), f.validation.tolist()) for f in moved.folds
    ]
    assert found.dataset.table["patient"].tolist() == moved.dataset.table["patient"].tolist()
    assert [f"train/{image}" for image in found.dataset.table["image"]] == moved.dataset.table["image"].tolist()
    assert found.digests.manifest != moved.digests.manifest, "results name their images, so that names are in the ids"


def test_a_test_set_is_part_of_the_manifest_and_never_taken_from_one_that_is_there(harness: Harness) -> None:
    four()
    write_study(data="test: {share: 0.25, by: image}")
    line = harness.refused("plan", "s.yaml")
    assert "s.yaml:2: data.test: the images have a test set of their own" in line
    shutil.rmtree("d/test")
    assert counts() == {("train", "ILL"): 6, ("train", "WELL"): 6, ("test", "ILL"): 2, ("test", "WELL"): 2}
    first, second = read(), read("data.test.seed=1")
    assert "test set: 4 of 16 images, drawn at random (data.test, seed 0)" in data_lines(
        load_study(Path("s.yaml")), first
    )
    assert first.digest != second.digest
    assert first.test_images != second.test_images
    every_second = harness.refused("plan", "s.yaml", "--set", "data.patient='(?P<patient>img00)'")
    assert "in train/ and in test/" in every_second and "; write data.test: {by: patient}, or accept it" in every_second
    refused = harness.refused("plan", "s.yaml", "--set", "data.test.by=patient")
    assert "data.test.by" in refused and "needs a rule that finds the patients" in refused


def test_a_link_out_of_a_flat_folder_is_refused_and_a_linked_class_is_read(harness: Harness) -> None:
    flat()
    write_study(test="")
    Path("d/ILL").rename("ILL")
    Path("d/ILL").symlink_to(Path("ILL").absolute())
    assert counts()["train", "ILL"] == 24
    draw(Path("elsewhere"), 1)
    Path("d/WELL/one.png").symlink_to(Path("elsewhere/img000.png").absolute())
    line = harness.refused("plan", "s.yaml")
    assert "d/WELL/one.png (a link out of the image folder, which `data: {links: follow}` reads)" in line


@pytest.mark.usefixtures("harness")
def test_labels_name_and_merge_class_folders() -> None:
    four()
    for split in ("train", "test"):
        draw(Path("d", split, "VIRUS"), 3, 60)
        draw(Path("d", split, "OTHER"), 1)
    write_study(data="labels: {ILL: SICK, VIRUS: SICK, WELL: WELL}")
    assert counts() == {
        ("train", "SICK"): 11, ("train", "WELL"): 8, ("test", "SICK"): 7, ("test", "WELL"): 4,
    }  # fmt: skip
    assert not_read() == [
        "not read: 2 images with labels that `labels` does not name (OTHER: 2), such as train/OTHER/img000.png"
    ]


def test_what_is_next_to_flat_class_folders_is_named(harness: Harness) -> None:
    flat()
    write_study(test="")
    draw(Path("d"), 2, pattern="stray{}.png")
    draw(Path("d/__MACOSX/ILL"), 1)
    for folder in ("docs", "empty"):
        Path("d", folder).mkdir()
    Path("d/docs/about.txt").touch()
    assert not_read() == [
        "not read: 2 files next to the class folders, such as stray0.png",
        "not read: 2 folders without images, such as docs/",
        "not read: 1 hidden or system folder, __MACOSX/",
    ]
    Path("d/SCANS").mkdir()
    Path("d/SCANS/a.nii").touch()
    assert "class SCANS is empty" in harness.refused("plan", "s.yaml")
    assert "has no folder val/ for `val: train`" in harness.refused("plan", "s.yaml", "--set", "data.val=train")


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (
            ["z/train"],
            "z/train has the classes []; at least two are needed, a folder for each: train/CLASS/*. It holds",
        ),
        (["z/train/ILL"], "z/train has the classes ['ILL']; at least two are needed"),
        (["z/ILL"], "or CLASS/* alone; it holds the folder ILL/"),
        (["z"], "or CLASS/* alone; it holds 2 .png"),
        (["z/a/ILL", "z/a/WELL"], "z/a holds the folders ILL/, WELL/: name that folder"),
        (["z/a/train/ILL", "z/b/train/ILL"], "z/a and 1 more may be it: name one of them"),
        (["z/ILL/train", "z/WELL/train"], "z/ILL and 1 more may be it: name one of them"),
        (["z/Training/ILL", "z/WELL"], "or CLASS/* alone; it holds the folders Training/, WELL/"),
    ],
)
def test_a_folder_without_classes_is_told_what_lies_in_it(harness: Harness, folders: list[str], told: str) -> None:
    for folder in folders:
        draw(Path(folder), 2)
    write_study(path="z")
    line = harness.refused("plan", "s.yaml")
    assert told in line
    Path("z/labels.csv").touch()
    assert ("read by `source: table`" in harness.refused("plan", "s.yaml")) == ("has the classes" in told)


def test_new_finds_the_one_image_folder_inside_and_says_so(harness: Harness) -> None:
    four(root=Path("kaggle/chest_xray"))
    four(root=Path("kaggle/chest_xray/chest_xray"))
    draw(Path("kaggle/__MACOSX/chest_xray/train/ILL"), 1)
    written = harness("new", "n", "--data", "kaggle", "--out", ".")
    assert "kaggle/chest_xray, the one image folder in kaggle" in written.out
    assert "not read: chest_xray/ (24 images, with its own train/)" in written.out
    assert counts_of("n.yaml") == {("train", 8), ("test", 4)}
    flat(Path("wrapped/data"))
    assert "wrapped/data, the one image folder in wrapped" in harness("new", "w", "--data", "wrapped", "--out", ".").out


def counts_of(file: str) -> set[tuple[str, int]]:
    Path(file).rename("s.yaml")
    return {(split, number) for (split, _), number in counts().items()}


def test_images_without_their_endings_are_known_by_their_content(harness: Harness) -> None:
    four()
    write_study()
    for image in Path("d/train/ILL").iterdir():
        image.rename(image.with_suffix(""))
    line = harness.refused("plan", "s.yaml")
    assert "class ILL is empty" in line and "(8 PNG without its extension)" in line
    draw(Path("d/train/ILL"), 4, 60)
    Path("d/train/ILL/notes").write_text("text", encoding="utf-8")
    assert "(8 PNG without its extension, 1 without an extension)" in not_read()[0]


def linked() -> None:
    """The images of `four`, those of ILL in a folder outside, behind a link in the class folder."""
    four()
    Path("outside").mkdir()
    Path("d/train/ILL").rename("outside/ILL")
    Path("d/train/ILL").mkdir()
    Path("d/train/ILL/more").symlink_to(Path("outside/ILL").absolute())
    write_study()


def test_linked_folders_are_entered_once_where_the_study_says_so(harness: Harness) -> None:
    linked()
    line = harness.refused("plan", "s.yaml")
    assert "d/train/ILL/more" in line and "links: follow" in line
    assert counts("data.links=follow")["train", "ILL"] == 8
    Path("d/train/ILL/again").symlink_to(Path("outside/ILL").absolute())
    Path("d/train/WELL/one.png").symlink_to(Path("d/test/WELL/img000.png").absolute())
    write_study(data="links: follow", test="")
    shutil.copyfile("outside/ILL/img000.png", "outside/own.png")
    Path("d/train/WELL/one.png").unlink()
    assert not_read() == ["not read: 1 link to a folder that is read already, train/ILL/more"]
    assert counts()["train", "ILL"] == 8


def test_new_follows_links_where_the_images_are_behind_them_and_says_so(harness: Harness) -> None:
    linked()
    written = harness("new", "n", "--data", "d", "--out", ".")
    assert "links: follow, as 1 lead out of the image folder, such as train/ILL/more" in written.out
    assert "ILL: 8, WELL: 8" in Path("n.yaml").read_text(encoding="utf-8")
    assert counts_of("n.yaml") == {("train", 8), ("test", 4)}


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "deep/.."])
def test_a_link_to_a_folder_above_is_refused_in_a_line(harness: Harness, target: str) -> None:
    four()
    Path("d/train/ILL/deep").mkdir()
    Path("d/train/ILL/loop").symlink_to(target)
    write_study(data="links: follow")
    line = harness.refused("plan", "s.yaml")
    assert "d/train/ILL/loop is a link to" in line and "a folder above it; remove the link" in line


@pytest.mark.usefixtures("harness")
def test_folders_that_link_to_each_other_end() -> None:
    four()
    for name, other in (("a", "b"), ("b", "a")):
        draw(Path("outside", name), 2, pattern=f"{name}{{}}.png")
        Path("outside", name, "next").symlink_to(Path("outside", other).absolute())
    Path("d/train/ILL/more").symlink_to(Path("outside/a").absolute())
    write_study(data="links: follow")
    assert counts()["train", "ILL"] == 12
    assert not_read() == ["not read: 1 link to a folder that is read already, train/ILL/more/next/next"]
