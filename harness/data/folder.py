"""Read an image folder: the images of each split and class, and the files that are left out."""

import os
from collections.abc import Iterable, Iterator
from errno import ELOOP
from itertools import islice
from pathlib import Path
from stat import S_ISDIR
from unicodedata import category, normalize

from harness.data.decode import is_image_file
from harness.data.hashes import CHMOD
from harness.data.left_out import Tally
from harness.data.listing import FoundImage, Listing, as_frame, visible_name
from harness.errors import DataError, printable

EXPECTED = "expected train/CLASS/* and, for a test set, test/CLASS/*"
SYSTEM_FOLDERS = {  # of systems, file servers and tools, in lower case; names that start with a dot count too
    "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "__macosx", "__pycache__", "$recycle.bin", "recycler",
    "system volume information", "lost+found",
}  # fmt: skip
SYSTEM_FILES = {
    ".ds_store",
    "dicomdir",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
}  # not reported
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "dev", "test", "tests", "testing"}
MAX_COUNTED = 10_000  # images of a folder that is not read
DirEntry = os.DirEntry[str]


def read_folder(root: Path, val: str = "ignore") -> Listing:
    """List the images in `root` in order, and what is left out. val: `train` adds val/ to the training images.

    Raises DataError where a folder is missing, misspelt or may not be read, and for an empty class.
    """
    inside, left = _entries(root), Tally(root)
    wanted = {"train": "train", "test": "test"} | ({"val": "train"} if val == "train" else {})
    images: list[FoundImage] = []
    for name, split in wanted.items():
        entry = _split_folder(root, inside, name)
        for folder in _class_folders(entry, left) if entry else ():
            label = normalize("NFC", folder.name)  # systems write one accent in two ways
            images += [FoundImage(path, split, label) for path in _class_images(root, folder, left)]
    _add_other_entries([entry for entry in inside if entry.name not in wanted], left)
    _check_names(root, [found.image for found in images])
    _check_labels(root, images)
    return Listing(as_frame(images), left.left_out)


def require_folder(folder: Path, given: str) -> None:
    """Raise DataError where `folder` (`given` by the user) is not a folder, or has a name that is not UTF-8."""
    try:
        is_folder = S_ISDIR(folder.stat().st_mode)
    except PermissionError as error:
        raise _unreadable(str(folder), error) from None
    except (OSError, ValueError):
        is_folder = False
    if not is_folder:
        raise DataError(f"{printable(given)} is not a folder; {EXPECTED.replace('expected', 'expected one with')}")
    if not _is_utf8(str(folder)):
        raise DataError(f"{printable(str(folder))}: a name on this path is not UTF-8; rename it")


def _unreadable(folder: str, error: OSError) -> DataError:
    hint = CHMOD if isinstance(error, PermissionError) else ""
    return DataError(f"the folder {printable(folder)} may not be read ({error.strerror}){hint}")


def _entries(folder: Path | DirEntry) -> list[DirEntry]:
    """List a folder by name, without system files. Raises DataError where it may not be read."""
    try:
        with os.scandir(folder) as inside:
            os.stat(os.path.join(folder, os.curdir))  # noqa: PTH116, PTH118 - fails where it may be listed but not read
            return sorted((e for e in inside if e.name.lower() not in SYSTEM_FILES), key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(os.fspath(folder), error) from None


def _is_folder(entry: DirEntry, links: bool = True) -> bool:
    """Whether this is a folder or a link to one. Raises DataError where it may not be read."""
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError as error:
        if error.errno == ELOOP:  # a link to itself
            return False
        raise _unreadable(entry.path, error) from None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def _is_image(entry: DirEntry) -> bool:
    return not entry.name.startswith(".") and is_image_file(entry.path)


def _split_folder(root: Path, inside: list[DirEntry], name: str) -> DirEntry | None:
    """The folder of a split; None where there is no test/. Raises DataError where it is misspelt, or train/ missing."""
    found = next((entry for entry in inside if entry.name == name), None)
    if found is not None:
        if not _is_folder(found):
            raise DataError(f"{printable(found.path)} is not a folder; {EXPECTED}")
        return found
    others = [entry for entry in inside if _is_folder(entry) and not _is_hidden(entry.name)]
    missing = f"{printable(str(root))} has no folder {name}/"
    for other in others:
        if other.name.strip().lower() == name:
            what = f"{printable(other.name)!r} ({_content(other) or 'no image'})"
            raise DataError(f"{missing}, but {what}: rename that folder to {name}, or move it away; {EXPECTED}")
    if name == "train":
        raise DataError(f"{missing}; {_hint_for_train(root, others)}")
    if name == "val":
        there = ", ".join(printable(other.name) for other in others if other.name not in ("train", "test"))
        raise DataError(f"{missing} for `val: train`; its other folders: {there or 'none'}", ("data", "val"))
    return None


def _hint_for_train(root: Path, others: list[DirEntry]) -> str:
    """Suggest a folder that has train/, or list the folders with similar names."""
    for pattern in ("*/train", "*/*/train", "*/*/*/train"):
        for found in sorted(root.glob(pattern)):
            if found.is_dir() and not any(_is_hidden(part) for part in found.relative_to(root).parts):
                return f"{printable(str(found.parent))} has one: name that folder"
    if root.name in ("train", "test"):
        return f"name the folder above it; {EXPECTED}"
    similar = [printable(other.name) for other in others if other.name.strip().lower() in SPLIT_NAMES]
    return EXPECTED + (f"; it holds {', '.join(similar)}" if similar else "")


def _class_folders(split: DirEntry, left: Tally) -> Iterator[DirEntry]:
    for entry in _entries(split):
        if _is_folder(entry):
            if not _is_hidden(entry.name):
                yield entry
            else:
                left.add("hidden-folders", entry.path)
        elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - as the entry has it
            raise DataError(f"{printable(entry.path)} is a broken link; fix it, or remove it")
        else:
            left.add_file(entry.path, "beside")


def _class_images(root: Path, folder: DirEntry, left: Tally) -> list[str]:
    """The images of a class, as paths below `root`, in order. Raises DataError where there is none."""
    inside = Tally(root)
    images = sorted(Path(path) for path in _image_files(folder, inside))
    left.join(inside)
    if not images:
        more = "".join(f"; {kind}" for kind in inside.left_out)
        raise DataError(f"class {printable(folder.name)} is empty: {printable(folder.path)} holds no image{more}")
    return [path.relative_to(root).as_posix() for path in images]


def _image_files(folder: DirEntry, left: Tally) -> Iterator[str]:
    """The files below `folder` with the extension of an image, and linked folders, which are not followed."""
    waiting = [folder]
    while waiting:
        for entry in _entries(waiting.pop()):
            if _is_hidden(entry.name) and _is_folder(entry):
                left.add("hidden-folders", entry.path)
            elif _is_folder(entry, links=False):
                waiting.append(entry)
            elif _is_image(entry) or _is_folder(entry):
                yield entry.path
            else:
                left.add_file(entry.path, "endings")


def _add_other_entries(entries: Iterable[DirEntry], left: Tally) -> None:
    """Add to `left` what is next to the split folders: hidden folders, images, and folders with images."""
    for entry in entries:
        if not _is_folder(entry):
            if _is_image(entry):
                left.add("beside", entry.path)
        elif _is_hidden(entry.name):
            left.add("hidden-folders", entry.path)
        else:
            words = _content(entry)
            if words or entry.name.strip().lower() in SPLIT_NAMES:
                left.add("folders", entry.path, f" ({words or 'no image'})")


def _content(folder: DirEntry) -> str:
    """The number of images in a folder that is not read, in words; empty where there is none."""
    try:
        images = sum(1 for _ in islice(_image_files(folder, Tally(Path(folder.path))), MAX_COUNTED))
        inner = any(entry.name == "train" and _is_folder(entry) for entry in _entries(folder))
    except DataError:
        return "it may not be read"
    count = f"{images:,} image{'s' * (images != 1)}" + (" or more" if images == MAX_COUNTED else "")
    return f"{count}, with its own train/" if inner else count if images else ""


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_names(root: Path, images: list[str]) -> None:
    """Raise DataError for names that are not UTF-8: tables and reports cannot contain them."""
    bad = [image for image in images if not _is_utf8(image)]
    if bad:
        raise DataError(
            f"the names of {len(bad)} of {len(images)} images are not UTF-8, first {printable(bad[0])} in"
            f" {printable(str(root))}; rename them, such as by `convmv -r -f latin1 -t utf8 --notest FOLDER`"
        )


def _check_labels(root: Path, images: list[FoundImage]) -> None:
    """Raise DataError for classes that look the same in a table, and for a class folder inside another one."""
    for split in ("train", "test"):
        found = [image for image in images if image.split == split]
        labels, seen = sorted({image.label for image in found}), dict[str, str]()
        for label in labels:
            if any(category(character) == "Cc" for character in label):
                raise DataError(f"the class {label!r} of {split}/ has a control character in its name; rename it")
            other = seen.setdefault(visible_name(label), label)
            if other != label:
                raise DataError(
                    f"{printable(str(root))}/{split} has the classes {other!r} and {label!r}, which differ only by"
                    " spaces; merge the folders"
                )
        for image in found:
            below = normalize("NFC", image.image.split("/")[2])
            if below in labels and below != image.label and image.image.count("/") > 2:
                raise DataError(
                    f"{printable(image.image)} is in two classes, {image.label} and {below}; is"
                    f" {'/'.join(image.image.split('/')[:3])} a copy? Move it out of {image.label}"
                )
