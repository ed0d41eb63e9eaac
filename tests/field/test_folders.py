"""Image folders as they come: from Jupyter, file servers, Macs, archives, scanners and other users."""

import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.field.conftest import Harness, draw, four, write_study


def counts(harness: Harness, *options: str) -> dict[tuple[str, str], int]:
    """The images of each split and class in the plan."""
    ended = harness("plan", "s.yaml", "--json", *options)
    assert ended.code == 0, ended
    return {(row["split"], row["class"]): row["images"] for row in json.loads(ended.out)["data"]}


def not_read(harness: Harness) -> list[str]:
    """The lines of the plan about what is not read."""
    ended = harness("plan", "s.yaml")
    assert ended.code == 0, ended
    return [line for line in ended.out.splitlines() if line.startswith("not read: ")]


EIGHT = {("train", "ILL"): 8, ("train", "WELL"): 8, ("test", "ILL"): 4, ("test", "WELL"): 4}


@pytest.mark.parametrize(
    "place",
    [
        "train/ILL/.ipynb_checkpoints/a-checkpoint.png",
        "train/WELL/@eaDir/img000.png/SYNOPHOTO_THUMB_M.png",
        "train/ILL/.Trash-1000/files/deleted.png",
        "train/ILL/batch/#recycle/deep/deleted.png",
        "train/ILL/$RECYCLE.BIN/deleted.png",
        "train/ILL/System Volume Information/a.png",
        "train/ILL/LOST+FOUND/a.png",
        "train/.Trash-1000/files/deleted.png",
        "train/__MACOSX/ILL/a.png",
        "test/@Recycle/a.png",
        "__MACOSX/train/ILL/a.png",
    ],
)
def test_hidden_and_system_folders_are_not_trained_on_at_any_depth_and_are_named(harness: Harness, place: str) -> None:
    four()
    write_study()
    before = json.loads(harness("plan", "s.yaml", "--json").out)
    Path("d", place).parent.mkdir(parents=True)
    Image.new("L", (48, 40), 7).save(Path("d", place))
    after = json.loads(harness("plan", "s.yaml", "--json").out)
    assert (after["data"], after["manifest"]) == (before["data"], before["manifest"])
    (left,) = after["left_out"]
    assert (left["kind"], left["count"], left["lost"]) == ("hidden-folders", 1, False)
    assert place.startswith(left["first"][0])
    (line,) = not_read(harness)
    assert line == f"not read: 1 hidden or system folder, {left['first'][0]}"


def test_endings_that_are_not_read_are_counted_and_named_in_plan_audit_run_and_report(harness: Harness) -> None:
    four()
    write_study()
    for number in (5, 6, 7):
        Path(f"d/train/ILL/img00{number}.png").rename(f"d/train/ILL/img00{number}.nii")
    Path("d/test/ILL/img000.png").rename("d/test/ILL/img000")
    Path("d/train/WELL/img003.png").rename("d/train/WELL/img003.png.1")
    Path("d/train/WELL/img004.png").rename("d/train/WELL/img004.jpg?w=300")
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        Path("d/train/WELL", name).touch()
    line = (
        "not read: 6 files with extensions that are not read"
        " (3 .nii, 3 PNG without its extension), such as train/ILL/img005.nii"
    )
    assert not_read(harness) == [line]
    audit = json.loads(harness("audit", "s.yaml", "--json").out)
    (finding,) = [finding for finding in audit["findings"] if finding["name"] == "left-out"]
    assert (finding["severity"], finding["text"], finding["facts"]["count"]) == ("warning", line, 6)
    ran = harness("run", "s.yaml")
    assert ran.code == 0, ran
    assert line in ran.err
    report = Path("mlruns/reports/s/report.md").read_text(encoding="utf-8")
    (row,) = [row for row in report.splitlines() if row.startswith("| warning") and "left-out" in row]
    assert line in row
    assert f"Not{line[3:]}." in report.partition("## Audit")[0]


def test_what_is_left_out_is_told_where_the_audit_was_kept_from_before(harness: Harness) -> None:
    four()
    write_study()
    assert "left-out" not in harness("audit", "s.yaml").out
    draw(Path("d/other/ILL"), 3)
    assert "not read: other/ (3 images)" in harness("audit", "s.yaml").out


def test_notes_beside_the_images_are_no_lost_images(harness: Harness) -> None:
    four()
    write_study()
    for name in ("notes.txt", "labels.csv"):
        Path("d/train/ILL", name).touch()
        Path("d", name).touch()
    (left,) = json.loads(harness("plan", "s.yaml", "--json").out)["left_out"]
    assert (left["kind"], left["count"], left["lost"]) == ("no-images", 2, False)


def test_other_folders_and_files_beside_the_classes_are_counted_and_named(harness: Harness) -> None:
    four()
    write_study()
    for folder, count in (("val/ILL", 3), ("val/WELL", 2), ("Validation/ILL", 1), ("d/train/ILL", 4)):
        draw(Path("d", folder), count)
    draw(Path("d/train"), 3, pattern="stray{}.png")
    draw(Path("d"), 1, pattern="cover{}.png")
    Path("d/valid").mkdir()
    Path("d/scripts").mkdir()
    assert not_read(harness) == [
        "not read: 4 files next to the class folders, such as train/stray0.png",
        "not read: Validation/ (1 image), d/ (4 images, with its own train/), val/ (5 images), valid/ (no image);"
        " only train/, test/ and, with `val: train`, val/ are",
    ]
    assert counts(harness) == EIGHT
    assert counts(harness, "--set", "data.val=train") == EIGHT | {("train", "ILL"): 11, ("train", "WELL"): 10}


@pytest.mark.parametrize("name", ["Test", "TEST", "test "])
def test_a_test_folder_of_another_case_is_not_silently_no_test_set(harness: Harness, name: str) -> None:
    four()
    write_study()
    Path("d/test").rename(Path("d", name))
    for command in (["plan", "s.yaml"], ["run", "s.yaml"], ["new", "x", "--data", "d", "--out", "."]):
        line = harness.refused(*command)
        assert f"has no folder test/, but '{name}' (8 images): rename that folder to test" in line
    assert not Path("x.yaml").exists()


def test_a_test_block_without_a_test_folder_is_told(harness: Harness) -> None:
    four()
    shutil.rmtree("d/test")
    write_study()
    line = "no test set: there is no folder test/, so `test:` scores nothing"
    assert line in harness("plan", "s.yaml").out.splitlines()
    assert line in harness("run", "s.yaml").err.splitlines()
    assert harness.refused("test", "s.yaml").endswith("has no folder test/")


def test_val_that_is_asked_for_and_not_there_is_refused(harness: Harness) -> None:
    four()
    draw(Path("d/valid/ILL"), 3)
    write_study(data="val: train")
    assert "has no folder val/ for `val: train`; its other folders: valid" in harness.refused("plan", "s.yaml")


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        (("d", "z/chest_xray"), "z/chest_xray has one: name that folder"),
        (("d", "z/a/b"), "z/a/b has one: name that folder"),
        (("d/train", "z/Train"), "but 'Train' (16 images): rename that folder to train"),
        (("d/train", "z/Training"), "test/CLASS/*, or CLASS/* alone; it holds the folder Training/"),
    ],
)
def test_a_folder_without_train_is_told_where_it_is(harness: Harness, rename: tuple[str, str], told: str) -> None:
    four()
    Path(rename[1]).parent.mkdir(parents=True)
    Path(rename[0]).rename(rename[1])
    draw(Path("z/__MACOSX/train/ILL"), 1)
    write_study(path="z")
    for command in (["plan", "s.yaml"], ["new", "x", "--data", "z", "--out", "."]):
        if command[0] == "new" and "name that folder" in told:
            continue  # which `new` takes
        line = harness.refused(*command)
        assert "z has no folder train/" in line
        assert line.endswith(told) or f"{told}, or" in line


def test_the_train_folder_itself_is_not_the_image_folder(harness: Harness) -> None:
    four()
    write_study(path="d/train")
    assert "name the folder above it" in harness.refused("plan", "s.yaml")


def test_a_copy_of_train_in_train_is_no_third_class(harness: Harness) -> None:
    four()
    shutil.copytree("d/train", "d/copy")
    shutil.move("d/copy", "d/train/train")
    write_study(test="")
    assert "is in two classes, train and ILL" in harness.refused("plan", "s.yaml")


@pytest.mark.parametrize("what", ["train/GONE", "test", "train/ILL/img.png"])
def test_a_link_to_nothing_is_refused(harness: Harness, what: str) -> None:
    four()
    write_study()
    if Path("d", what).is_dir():
        shutil.rmtree(Path("d", what))
    Path("d", what).symlink_to("nowhere")
    assert what in harness.refused("plan", "s.yaml")


def latin1(path: str) -> str:
    """The path with its bytes in Latin-1, as Python has it."""
    return os.fsdecode(path.encode("latin-1"))


@pytest.mark.parametrize(
    ("old", "new"),
    [("d/train/ILL/img000.png", "d/train/ILL/café.png"), ("d/train/ILL", "d/train/lésion"), ("d", "é")],
)
def test_names_that_are_not_utf8_are_refused_in_one_line(harness: Harness, old: str, new: str) -> None:
    four()
    write_study()
    Path(old).rename(latin1(new))
    data = latin1("é") if old == "d" else "d"
    for command in (["plan", "s.yaml"], ["run", "s.yaml"], ["audit", "s.yaml"], ["new", "x", "--out", "."]):
        line = harness.refused(*command, "--data", data)
        assert "\\xe9" in line and "UTF-8" in line and "rename" in line
    assert not Path("x.yaml").exists()
    assert not Path("mlruns").exists()


def test_names_that_are_not_utf8_of_what_is_not_read_are_shown(harness: Harness) -> None:
    four()
    write_study()
    Path("d/train/ILL", latin1("é.nii")).touch()
    draw(Path("d", latin1("à/ILL")), 2)
    endings, folders = not_read(harness)
    assert endings.endswith("(1 .nii), train/ILL/\\xe9.nii")
    assert folders.startswith("not read: \\xe0/ (2 images)")


NFC, NFD = (unicodedata.normalize(form, "Lésion") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("train", [NFC, NFD], ids=["NFC", "NFD"])
@pytest.mark.parametrize("test", [NFC, NFD], ids=["NFC", "NFD"])
@pytest.mark.parametrize("positive", [NFC, NFD], ids=["NFC", "NFD"])
def test_an_accent_in_two_normal_forms_is_one_class(harness: Harness, train: str, test: str, positive: str) -> None:
    four()
    Path("d/train/ILL").rename(Path("d/train", train))
    Path("d/test/ILL").rename(Path("d/test", test))
    write_study(data=f"positive: {positive}")
    assert counts(harness) == {(split, label.replace("ILL", NFC)): number for (split, label), number in EIGHT.items()}
    assert f"positive class {NFC}" in harness("plan", "s.yaml").out


@pytest.mark.parametrize("name", ["WELL ", "well", " Well", "WELL\u200b"])
def test_a_class_that_differs_by_blanks_or_case_is_said_to(harness: Harness, name: str) -> None:
    four()
    Path("d/test/WELL").rename(Path("d/test", name))
    write_study()
    line = harness.refused("plan", "s.yaml")
    assert f"train/ has the class 'WELL' and test/ {name!r}, which differ only by spaces or case" in line


def test_classes_of_one_split_that_differ_by_blanks_are_refused_and_by_case_are_two(harness: Harness) -> None:
    four()
    shutil.rmtree("d/test")
    write_study(test="")
    draw(Path("d/train/a"), 4)
    draw(Path("d/train/A"), 4)
    assert {("train", "a"), ("train", "A")} <= set(counts(harness))
    draw(Path("d/train/a "), 4)
    assert "'a' and 'a ', which differ only by spaces" in harness.refused("plan", "s.yaml")


def test_a_class_with_a_line_break_in_its_name_is_refused_in_one_line(harness: Harness) -> None:
    four()
    Path("d/train/ILL").rename("d/train/IL\nL")
    write_study()
    assert r"the class 'IL\nL' of train/ has a control character in its name" in harness.refused("plan", "s.yaml")


@pytest.mark.parametrize("scope", ["dataset", "class"])
def test_neither_the_split_nor_the_spelling_hides_a_patient_on_both_sides(harness: Harness, scope: str) -> None:
    four()
    draw(Path("d/train/ILL"), 1, pattern="Zoé_{}.png")
    draw(Path("d/test/ILL"), 1, pattern=unicodedata.normalize("NFD", "Zoé_{}.png"))
    for image in Path("d").glob("*/*/img*.png"):
        image.rename(image.with_name(f"{image.parents[1].name}{image.stem}_0.png"))
    write_study(data=f"patient: '(?P<patient>.+)_[0-9]', patient_scope: {scope}")
    assert "1 patient is in train/ and in test/" in harness.refused("plan", "s.yaml")


@contextmanager
def somebody_else() -> Iterator[None]:
    """Acts as a user who is not root, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def in_the_open(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder, now the current one, that every user may enter; with the images and their study."""
    folder = Path(tempfile.mkdtemp(dir=tempfile.gettempdir()))
    monkeypatch.chdir(folder)
    folder.chmod(0o755)
    four(9)
    draw(Path("d/train/ILL/batch2"), 9, 60)
    write_study()
    Path("st").mkdir()
    Path("st").chmod(0o777)
    for command in (["plan", "s.yaml", "--store", "own"], ["new", "y", "--data", "d", "--out", "own"]):
        assert harness(*command).code == 0, "everything is imported, and may be read"
    yield
    for path in [Path("d"), *Path("d").rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("what", "mode"),
    [
        ("d/train/ILL/batch2", 0),
        ("d/train/ILL/batch2", 0o444),
        ("d/train/ILL", 0),
        ("d/train/ILL", 0o444),
        ("d/train", 0),
        ("d/train", 0o444),
        ("d/test", 0),
        ("d", 0),
        ("d", 0o444),
        ("d/train/WELL/img000.png", 0),
    ],
)
@pytest.mark.parametrize("bad", ["error", "skip"])
@pytest.mark.usefixtures("in_the_open")
def test_what_may_not_be_read_is_refused_and_never_half_a_class(
    harness: Harness, what: str, mode: int, bad: str
) -> None:
    Path(what).chmod(mode)
    with somebody_else():
        planned = harness("plan", "s.yaml", "--store", "st", "--set", f"data.on_bad_image={bad}")
        written = harness("new", "x", "--data", "d", "--out", "st")
    Path(what).chmod(0o755)
    for ended in (planned, written) if Path(what).is_dir() else (planned,):
        assert ended.code == 2, ended
        (line,) = ended.err.splitlines()
        assert what in line
        assert "may not be read (Permission denied); let this user read" in line
    assert list(Path("st").iterdir()) == (
        [] if Path(what).is_dir() else [Path("st/x.yaml"), *Path("st").glob("*.json")]
    )
