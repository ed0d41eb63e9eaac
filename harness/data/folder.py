"""An image folder as every command reads it: the images of each split and class, and what is left out."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from errno import ELOOP
from itertools import islice
from pathlib import Path
from stat import S_ISDIR
from unicodedata import category, normalize

from harness.data.decode import endings
from harness.data.left_out import LeftOut, Tally, ending
from harness.errors import DataError, printable

EXPECTED = "expected train/CLASS/* and, for a test set, test/CLASS/*"
SYSTEM = {  # folders of systems, file servers and tools, in lower case; all names that start with a dot come to them
    "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "__macosx", "__pycache__", "$recycle.bin", "recycler",
    "system volume information", "lost+found",
}  # fmt: skip
LITTER = {".ds_store", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}  # not worth a word
LIKE_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "tests", "testing"}
MANY = 10_000  # the images of a folder that is not read are counted up to here
DirEntry = os.DirEntry[str]


@dataclass(frozen=True)
class FoundImage:
    """A file that is named like an image. image: its path below the image folder. label: its class."""

    image: str
    split: str
    label: str


@dataclass(frozen=True)
class Listing:
    """What an image folder holds."""

    images: tuple[FoundImage, ...]
    left_out: tuple[LeftOut, ...]


def read_folder(root: Path, val: str = "ignore") -> Listing:
    """The images in `root`, by split and class, in order, and what is left out. val: `train` adds val/ to train/.

    Raises DataError where a folder is missing, may not be read or is named otherwise, and for an empty class.
    """
    inside, left = _entries(root), Tally(root)
    wanted = {"train": "train", "test": "test"} | ({"val": "train"} if val == "train" else {})
    images: list[FoundImage] = []
    for name, split in wanted.items():
        entry = _split_folder(root, inside, name)
        for folder in _class_folders(entry, left) if entry else ():
            label = normalize("NFC", folder.name)  # macOS and others write one accent in two ways
            images += [FoundImage(path, split, label) for path in _class_images(root, folder, left)]
    _look_beside([entry for entry in inside if entry.name not in wanted], left)
    _check_names(root, [found.image for found in images])
    _check_labels(root, images)
    return Listing(tuple(images), left.left_out)


def require_folder(folder: Path, given: str) -> None:
    """Raises DataError where `folder`, given as `given`, is no folder, or has a name that is not UTF-8."""
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


def unreadable_file(path: Path, why: str) -> DataError:
    """The error about a file that this user may not read."""
    return DataError(f"{printable(str(path))} may not be read ({why}){_MEND}")


_MEND = "; let this user read all of the folder: chmod -R u+rX FOLDER, or a+rX by its owner"


def _unreadable(folder: str, error: OSError) -> DataError:
    mend = _MEND if isinstance(error, PermissionError) else ""
    return DataError(f"the folder {printable(folder)} may not be read ({error.strerror}){mend}")


def _entries(folder: Path | DirEntry) -> list[DirEntry]:
    """What lies in a folder, in the order of its names, without litter. Raises DataError where it may not be read."""
    try:
        with os.scandir(folder) as inside:
            os.stat(os.path.join(folder, os.curdir))  # noqa: PTH116, PTH118 - refused where it may be listed alone
            return sorted((e for e in inside if e.name.lower() not in LITTER), key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(os.fspath(folder), error) from None


def _is_folder(entry: DirEntry, links: bool = True) -> bool:
    """Whether this is a folder, or a link to one. Raises DataError where that may not be seen."""
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError as error:
        if error.errno == ELOOP:  # a link to itself
            return False
        raise _unreadable(entry.path, error) from None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _is_image(name: str) -> bool:
    return not name.startswith(".") and ending(name) in endings()


def _split_folder(root: Path, inside: list[DirEntry], name: str) -> DirEntry | None:
    """The folder of a split; None where there is no test/. Raises DataError for one that has another name, or none."""
    found = next((entry for entry in inside if entry.name == name), None)
    if found is not None:
        if not _is_folder(found):
            raise DataError(f"{printable(found.path)} is not a folder; {EXPECTED}")
        return found
    others = [entry for entry in inside if _is_folder(entry) and not _is_hidden(entry.name)]
    lacks = f"{printable(str(root))} has no folder {name}/"
    for other in others:
        if other.name.strip().lower() == name:
            what = f"{printable(other.name)!r} ({_content(other) or 'no image'})"
            raise DataError(f"{lacks}, but {what}: rename that folder to {name}, or move it away; {EXPECTED}")
    if name == "train":
        raise DataError(f"{lacks}; {_where_train_is(root, others)}")
    if name == "val":
        there = ", ".join(printable(other.name) for other in others if other.name not in ("train", "test"))
        raise DataError(f"{lacks} for `val: train`; its other folders: {there or 'none'}", ("data", "val"))
    return None


def _where_train_is(root: Path, others: list[DirEntry]) -> str:
    """What to name instead of a folder without train/: the first below that has it, or what the folder holds."""
    for pattern in ("*/train", "*/*/train", "*/*/*/train"):
        for found in sorted(root.glob(pattern)):
            if found.is_dir() and not any(_is_hidden(part) for part in found.relative_to(root).parts):
                return f"{printable(str(found.parent))} has one: name that folder"
    if root.name in ("train", "test"):
        return f"name the folder above it; {EXPECTED}"
    alike = [printable(other.name) for other in others if other.name.strip().lower() in LIKE_SPLITS]
    return EXPECTED + (f"; it holds {', '.join(alike)}" if alike else "")


def _class_folders(split: DirEntry, left: Tally) -> Iterator[DirEntry]:
    for entry in _entries(split):
        if _is_folder(entry):
            if not _is_hidden(entry.name):
                yield entry
            else:
                left.add("hidden-folders", entry.path)
        elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - as the entry has it
            raise DataError(f"{printable(entry.path)} is a link to nothing; mend it, or remove it")
        else:
            left.add_file(entry.path, "beside")


def _class_images(root: Path, folder: DirEntry, left: Tally) -> list[str]:
    """The images of a class, as paths below `root`, in order. Raises DataError where there is none."""
    within = Tally(root)
    images = sorted(Path(path) for path in _image_files(folder, within))
    left.join(within)
    if not images:
        more = "".join(f"; {kind}" for kind in within.left_out)
        raise DataError(f"class {printable(folder.name)} is empty: {printable(folder.path)} holds no image{more}")
    return [path.relative_to(root).as_posix() for path in images]


def _image_files(folder: DirEntry, left: Tally) -> Iterator[str]:
    """The files below `folder` that are named like images. A linked folder is named, too: it is not walked through."""
    waiting = [folder]
    while waiting:
        for entry in _entries(waiting.pop()):
            if _is_hidden(entry.name) and _is_folder(entry):
                left.add("hidden-folders", entry.path)
            elif _is_folder(entry, links=False):
                waiting.append(entry)
            elif _is_image(entry.name) or _is_folder(entry):
                yield entry.path
            else:
                left.add_file(entry.path, "endings")


def _look_beside(entries: Iterable[DirEntry], left: Tally) -> None:
    """Takes in what lies beside the split folders: hidden folders, images, and folders that hold images."""
    for entry in entries:
        if not _is_folder(entry):
            if _is_image(entry.name):
                left.add("beside", entry.path)
        elif _is_hidden(entry.name):
            left.add("hidden-folders", entry.path)
        else:
            words = _content(entry)
            if words or entry.name.strip().lower() in LIKE_SPLITS:
                left.add("folders", entry.path, f" ({words or 'no image'})")


def _content(folder: DirEntry) -> str:
    """How many images a folder holds that is not read; nothing where there is none."""
    try:
        images = sum(1 for _ in islice(_image_files(folder, Tally(Path(folder.path))), MANY))
        inner = any(entry.name == "train" and _is_folder(entry) for entry in _entries(folder))
    except DataError:
        return "it may not be read"
    count = f"{images:,} image{'s' * (images != 1)}" + (" or more" if images == MANY else "")
    return f"{count}, with a train/ of its own" if inner else count if images else ""


def as_read(label: str) -> str:
    """The name of a class as a person reads it: without characters that are not seen, outer and double blanks."""
    return " ".join("".join(character for character in label if category(character) != "Cf").split())


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_names(root: Path, images: list[str]) -> None:
    """Raises DataError for names whose bytes are not UTF-8: no table and no report can hold them."""
    bad = [image for image in images if not _is_utf8(image)]
    if bad:
        raise DataError(
            f"the names of {len(bad)} of {len(images)} images are not UTF-8, first {printable(bad[0])} in"
            f" {printable(str(root))}; rename them, such as by `convmv -r -f latin1 -t utf8 --notest FOLDER`"
        )


def _check_labels(root: Path, images: list[FoundImage]) -> None:
    """Raises DataError for classes that look the same in every table, and for folders that lie in a wrong class."""
    for split in ("train", "test"):
        found = [image for image in images if image.split == split]
        labels, seen = sorted({image.label for image in found}), dict[str, str]()
        for label in labels:
            if any(category(character) == "Cc" for character in label):
                raise DataError(f"the class {label!r} of {split}/ has a control character in its name; rename it")
            other = seen.setdefault(as_read(label), label)
            if other != label:
                raise DataError(
                    f"{printable(str(root))}/{split} has the classes {other!r} and {label!r}, which differ by blanks"
                    " alone; make them one folder"
                )
        for image in found:
            below = normalize("NFC", image.image.split("/")[2])
            if below in labels and below != image.label and image.image.count("/") > 2:
                raise DataError(
                    f"{printable(image.image)} lies in two classes, {image.label} and {below}; is"
                    f" {'/'.join(image.image.split('/')[:3])} a copy? Move it out of {image.label}"
                )
