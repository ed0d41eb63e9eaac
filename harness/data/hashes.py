"""Hash the files of a listing, and say which of them are not read."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISLNK, S_ISREG

import pandas as pd

from harness.data.decode import reason
from harness.errors import DataError, printable

FILES_PER_TASK = 64  # of a thread
BYTES_READ = 2**18  # at a time
MAX_THREADS = 4  # of many small files, more threads wait for each other longer than for the disk
CHMOD = "; let this user read all of the folder: chmod -R u+rX FOLDER, or a+rX by its owner"
OUTSIDE = "a link out of the image folder, which `data: {links: follow}` reads"


@dataclass(frozen=True)
class Homes:
    """Where links may lead: below the root and, in a folder of classes, the class folder, which may be a link itself.

    depth: the parts of a path that are a home of their own. None: links may lead anywhere.
    """

    root: Path
    depth: int | None

    def hold(self, image: str) -> bool:
        """Whether the file (or folder) that this path leads to is in one of the homes."""
        if self.depth is None:
            return True
        file, own = (self.root / image).resolve(), Path(self.root, *image.split("/")[: self.depth])
        return any(file.is_relative_to(home.resolve()) for home in (self.root, own))


def hashed(root: Path, images: Sequence[str], depth: int | None) -> pd.DataFrame:
    """The columns sha256, size (bytes) and bad of these files, in order; bad: why it is not read, if that is known.

    depth: see Homes. Raises DataError for a file that this user may not read: for another user it is an image.
    """
    homes = Homes(root, depth)
    outside = {folder for folder in {os.path.dirname(image) for image in images} if not homes.hold(folder)}  # noqa: PTH120

    def of_task(start: int) -> list[tuple[str, int, str]]:
        task = images[start : start + FILES_PER_TASK]
        return [("", 0, OUTSIDE) if os.path.dirname(image) in outside else _hashed(image, homes) for image in task]  # noqa: PTH120

    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        rows = [row for part in pool.map(of_task, range(0, len(images), FILES_PER_TASK)) for row in part]
    return pd.DataFrame(rows, columns=["sha256", "size", "bad"])


def _hashed(image: str, homes: Homes) -> tuple[str, int, str]:
    path = f"{homes.root}/{image}"
    try:
        mode = os.lstat(path).st_mode
        if S_ISLNK(mode) and not homes.hold(image):
            return "", 0, OUTSIDE
        if not S_ISREG(mode) and not os.path.isfile(path):  # noqa: PTH113 - a path object for each is slow
            return "", 0, _no_file(path)
        digest, size = _read(path)
    except PermissionError as error:
        raise unreadable_file(Path(path), reason(error)) from None
    except FileNotFoundError:
        return "", 0, "there is no such file"
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        return "", 0, reason(error)
    return digest, size, ""


def _read(path: str) -> tuple[str, int]:
    """The hash and the size of a file; a file object for each of many small files would take twice as long."""
    found, size = hashlib.sha256(), 0
    file = os.open(path, os.O_RDONLY)
    try:
        while part := os.read(file, BYTES_READ):
            found.update(part)
            size += len(part)
    finally:
        os.close(file)
    return found.hexdigest(), size


def _no_file(path: str) -> str:
    if os.path.isdir(path):  # noqa: PTH112
        return "a link to a folder, which `data: {links: follow}` reads"
    return "not a file"


def unreadable_file(path: Path, why: str) -> DataError:
    """The error about a file that this user may not read."""
    return DataError(f"{printable(str(path))} may not be read ({why}){CHMOD}")
