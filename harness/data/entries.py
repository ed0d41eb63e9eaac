"""The entries of an image folder: which are folders, images, a system's own, and which may not be read."""

import os
from collections import Counter
from collections.abc import Iterator
from errno import ELOOP
from pathlib import Path

from harness.data.decode import is_image_file
from harness.data.hashes import CHMOD
from harness.data.left_out import MAX_LISTED, Tally, extension
from harness.errors import DataError, printable
from harness.study.number_words import first_of

SYSTEM_FOLDERS = {  # of systems, file servers and tools, in lower case; names that start with a dot count too
    "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "__macosx", "__pycache__", "$recycle.bin", "recycler",
    "system volume information", "lost+found",
}  # fmt: skip
SYSTEM_FILES = {  # not reported
    ".ds_store", "dicomdir", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
}  # fmt: skip
DirEntry = os.DirEntry[str]


def entries(folder: Path | str | DirEntry) -> list[DirEntry]:
    """List a folder by name, without system files. Raises DataError where it may not be read."""
    try:
        with os.scandir(folder) as inside:
            os.stat(os.path.join(folder, os.curdir))  # noqa: PTH116, PTH118 - fails where it may be listed but not read
            return sorted((e for e in inside if e.name.lower() not in SYSTEM_FILES), key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable_folder(os.fspath(folder), error) from None


def unreadable_folder(folder: str, error: OSError) -> DataError:
    """The error about a folder that this user may not read."""
    hint = CHMOD if isinstance(error, PermissionError) else ""
    return DataError(f"the folder {printable(folder)} may not be read ({error.strerror}){hint}")


def is_folder(entry: DirEntry, links: bool = True) -> bool:
    """Whether this is a folder or a link to one. Raises DataError where it may not be read."""
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError as error:
        if error.errno == ELOOP:  # a link to itself
            return False
        raise unreadable_folder(entry.path, error) from None


def is_hidden(name: str) -> bool:
    """Whether a folder of this name is hidden, or a system's own."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_image(entry: DirEntry) -> bool:
    """Whether this is read as an image, unless it is hidden."""
    return not entry.name.startswith(".") and is_image_file(entry.path)


def visible_folders(inside: list[DirEntry]) -> list[DirEntry]:
    """The folders among these entries, but hidden ones."""
    return [entry for entry in inside if is_folder(entry) and not is_hidden(entry.name)]


def image_files(folder: DirEntry, left: Tally, follow: bool = False) -> Iterator[str]:
    """Yield the files below `folder` with the extension of an image; others are added to `left`.

    follow: enter linked folders, each folder on the disk once; otherwise a link to a folder is yielded as it is.
    Raises DataError for a link to a folder above it: the images in it have no end.
    """
    waiting, linked, seen = [folder.path], list[str](), set[str]()
    while waiting or linked:
        place = waiting.pop() if waiting else linked.pop(0)
        if follow:
            real = os.path.realpath(place)
            if real in seen:
                left.add("links", place)
                continue
            seen.add(real)
        for entry in entries(place):
            if is_hidden(entry.name) and is_folder(entry):
                left.add("hidden-folders", entry.path)
            elif is_folder(entry, links=False):
                waiting.append(entry.path)
            elif follow and is_folder(entry):
                _refuse_loop(entry.path, left.root)
                linked.append(entry.path)
            elif is_image(entry) or is_folder(entry):
                yield entry.path
            else:
                left.add_file(entry.path, "endings")


def _refuse_loop(link: str, root: Path) -> None:
    """Raise DataError where a link leads to a folder above it, or above the image folder."""
    target = os.path.realpath(link)
    for inside in (os.path.realpath(os.path.dirname(link)), os.path.realpath(root)):  # noqa: PTH120
        if Path(inside).is_relative_to(target):
            raise DataError(f"{printable(link)} is a link to {printable(target)}, a folder above it; remove the link")


def content_words(inside: list[DirEntry]) -> str:
    """What lies in a folder, in words: `12 .png, 1 .csv, the folders a/, b/`."""
    files = Counter(extension(entry.name) or "without an extension" for entry in inside if not is_folder(entry))
    folders = [f"{printable(entry.name)}/" for entry in visible_folders(inside)]
    words = [f"{count:,} {printable(name)}" for name, count in files.most_common(MAX_LISTED)]
    if folders:
        words.append(f"the folder{'s' * (len(folders) > 1)} {first_of(folders, MAX_LISTED)}")
    return ", ".join(words) or "nothing"
