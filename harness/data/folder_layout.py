"""Where the class folders of an image folder are: in train/ and test/, or in the folder itself."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from harness.data.entries import (
    DirEntry,
    content_words,
    entries,
    image_files,
    is_folder,
    is_hidden,
    is_image,
    visible_folders,
)
from harness.data.left_out import Tally
from harness.errors import DataError, printable
from harness.study.number_words import number_of
from harness.study.set_block import SPLIT_NAMES

FLAT_WORDS = "no train/ in the folder: the images of its class folders are the training images"
EXPECTED = "expected train/CLASS/* and, for a test set, test/CLASS/*, or CLASS/* alone"
FOLDERS_OF_SPLITS = {*SPLIT_NAMES, "tests"}
MAX_COUNTED = 10_000  # images of a folder that is not read


def is_flat(folder: Path | DirEntry, inside: list[DirEntry]) -> bool:
    """Whether an image folder with these entries has its class folders in itself: two or more hold images.

    It is not where it is named as a split itself, or a folder in it or one step below: then train/ is elsewhere.
    """
    folders = visible_folders(inside)
    if any(_is_split(entry) for entry in (folder, *folders)):
        return False
    below = [folder for folder in folders if _has_images(folder)]
    return len(below) > 1 and not any(_is_split(inner) for entry in below for inner in visible_folders(entries(entry)))


def _is_split(entry: Path | DirEntry) -> bool:
    return entry.name.strip().lower() in FOLDERS_OF_SPLITS


def _has_images(folder: DirEntry) -> bool:
    return any(True for _ in image_files(folder, Tally(Path(folder.path))))


def split_folder(root: Path, inside: list[DirEntry], name: str) -> DirEntry | None:
    """The folder of a split; None where there is no test/. Raises DataError where it is misspelt, or train/ missing."""
    found = next((entry for entry in inside if entry.name == name), None)
    if found is not None:
        if not is_folder(found):
            raise DataError(f"{printable(found.path)} is not a folder; {EXPECTED}")
        return found
    others = visible_folders(inside)
    missing = f"{printable(str(root))} has no folder {name}/"
    for other in others:
        if other.name.strip().lower() == name:
            what = f"{printable(other.name)!r} ({counted_images(other) or 'no image'})"
            raise DataError(f"{missing}, but {what}: rename that folder to {name}, or move it away; {EXPECTED}")
    if name == "train":
        raise DataError(f"{missing}; {_hint_for_train(root, inside)}")
    if name == "val":
        there = ", ".join(printable(other.name) for other in others if other.name not in ("train", "test"))
        raise DataError(f"{missing} for `val: train`; its other folders: {there or 'none'}", ("data", "val"))
    return None


def nearest_image_folder(root: Path) -> Path:
    """This folder, or where it has neither splits nor classes the one image folder below it, if there is one."""
    inside = entries(root)
    if is_flat(root, inside) or any(_is_split(entry) for entry in visible_folders(inside)):
        return root
    below = image_folders_below(root)
    return below[0] if len(below) == 1 else root


def image_folders_below(root: Path) -> list[Path]:
    """The image folders below `root`: the nearest with train/, up to three steps down, else one step down flat ones."""
    for pattern in ("*/train", "*/*/train", "*/*/*/train"):
        found = [path for path in sorted(root.glob(pattern)) if path.is_dir()]
        found = [path for path in found if not any(is_hidden(part) for part in path.relative_to(root).parts)]
        if found:
            return [path.parent for path in found]
    return [Path(entry.path) for entry in visible_folders(entries(root)) if is_flat(entry, entries(entry))]


def _hint_for_train(root: Path, inside: list[DirEntry]) -> str:
    """Suggest a folder that has train/ or class folders, or say what lies in this one."""
    found = image_folders_below(root)
    if len(found) == 1:
        has = "has one" if (found[0] / "train").is_dir() else f"holds {content_words(entries(found[0]))}"
        return f"{printable(str(found[0]))} {has}: name that folder"
    if found:
        return f"{printable(str(found[0]))} and {len(found) - 1} more may be it: name one of them"
    if root.name in ("train", "test"):
        return f"name the folder above it; {EXPECTED}"
    return f"{EXPECTED}; it holds {content_words(inside)}"


def add_other_entries(others: list[DirEntry], left: Tally, flat: bool = False) -> None:
    """Add to `left` what is next to the folders that are read: hidden folders, images, and folders with images."""
    for entry in others:
        if not is_folder(entry):
            if is_image(entry):
                left.add("beside", entry.path)
        elif is_hidden(entry.name):
            left.add("hidden-folders", entry.path)
        elif not flat:
            words = counted_images(entry)
            if words or _is_split(entry):
                left.add("folders", entry.path, f" ({words or 'no image'})")


def counted_images(folder: DirEntry) -> str:
    """The number of images in a folder that is not read, in words; empty where there is none."""
    try:
        images = sum(1 for _ in islice(image_files(folder, Tally(Path(folder.path))), MAX_COUNTED))
        inner = any(entry.name == "train" and is_folder(entry) for entry in entries(folder))
    except DataError:
        return "it may not be read"
    count = number_of(images, "image") + (" or more" if images == MAX_COUNTED else "")
    return f"{count}, with its own train/" if inner else count if images else ""


def class_folders(inside: list[DirEntry], left: Tally) -> Iterator[DirEntry]:
    """Yield the class folders among these entries; others are added to `left`. Raises DataError for a broken link."""
    for entry in inside:
        if is_folder(entry):
            if not is_hidden(entry.name):
                yield entry
            else:
                left.add("hidden-folders", entry.path)
        elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - as the entry has it
            raise DataError(f"{printable(entry.path)} is a broken link; fix it, or remove it")
        else:
            left.add_file(entry.path, "beside")
