"""MedMNIST's `.npz` files: arrays of images and their labels, unpacked once into a folder with train/CLASS/*.

The images are written as PGM and PPM files: a line of text, then the pixels. Their hashes, and with them every id, are
those of the pixels; the bytes of a PNG file depend on the compressor of the machine.
"""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from numpy.lib import format as npy
from numpy.typing import NDArray

from harness.data.decode import reason
from harness.data.hashes import unreadable_file
from harness.data.made_images import made_path, put_in_place
from harness.errors import DataError, disk_is_full, first_line, printable
from harness.store import Store
from harness.store.files import new_folder, sha256_of

NPZ_VERSION = 1  # raise it when the images are written differently
PARTS = ("train", "val", "test")
EXPECTED = "expected train_images [n, height, width] or [n, height, width, 3] of uint8, and train_labels [n, 1]"


@dataclass(frozen=True)
class ImageArray:
    """The images of a split, not read yet. labels: the class of each, [n]. size: height, width. colour: RGB or gray."""

    name: str
    labels: NDArray[np.int64]
    size: tuple[int, int]
    colour: bool

    @cached_property
    def files(self) -> list[str]:
        """The path of each image in the folder: its split, its label, and its place in the array."""
        ending = "ppm" if self.colour else "pgm"
        return [f"{self.name}/{label}/{self.name}_{i:06d}.{ending}" for i, label in enumerate(self.labels.tolist())]


def read_arrays(path: Path) -> list[ImageArray]:
    """Read the labels and the shapes of the images, split by split. Nothing in the file is ever executed.

    Raises DataError for a file that is not such a one, and where an image has several labels.
    """
    with _opened(path) as archive:
        names = {Path(name).stem for name in archive.namelist()}
        found = [part for part in PARTS if f"{part}_images" in names]
        if "train" not in found:
            raise DataError(f"{printable(str(path))} has the arrays {', '.join(sorted(names)) or 'none'}; {EXPECTED}")
        return [_array(archive, part) for part in found]


def listed(arrays: list[ImageArray]) -> pd.DataFrame:
    """The table of the images: image, split and label."""
    parts = [pd.DataFrame({"image": a.files, "split": a.name, "label": a.labels.astype(str)}) for a in arrays]
    return pd.concat(parts, ignore_index=True)


def npz_path(path: Path, store: Store) -> Path:
    """The folder of the images of this file; a temporary one where the store lacks it and is read-only."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)[:64]
    try:
        about = path.stat()
        content = _content(path, about.st_size, about.st_mtime_ns)
    except PermissionError as error:
        raise unreadable_file(path, reason(error)) from None
    except OSError as error:
        raise DataError(f"{printable(str(path))} is not a file ({error.strerror}); name an .npz file") from None
    return made_path(store, f"npz-v{NPZ_VERSION}-{stem}-{content}")


def npz_folder(path: Path, store: Store) -> Path:
    """Return the image folder of this file; unpack it if that was not done yet. Raises DataError."""
    target = npz_path(path, store)
    if target.is_dir():
        return target
    arrays = read_arrays(path)
    with new_folder(target.parent) as folder:
        with _opened(path) as archive:
            for array in arrays:
                _unpack(archive, array, folder)
        put_in_place(folder, target)
    return target


@cache
def _content(path: Path, _size: int, _time: int) -> str:
    """The hash of a file, computed again where its size or time changes: 16 hex digits."""
    return sha256_of(path)[:16]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive. Raises DataError for whatever is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except PermissionError as error:
        raise unreadable_file(path, reason(error)) from None
    except Exception as error:  # zipfile and numpy raise almost anything on a broken file
        if disk_is_full(error):
            raise
        why = f"{printable(str(path))} cannot be read as an .npz file ({first_line(error)})"
        raise DataError(f"{why}; {EXPECTED}") from None


def _array(archive: zipfile.ZipFile, part: str) -> ImageArray:
    name = f"{part}_images"
    with archive.open(f"{name}.npy") as file:
        shape, fortran, kind = _header(file)
    gray, colour = len(shape) == 3 or shape[3:] == (1,), shape[3:] == (3,)
    if kind != np.uint8 or fortran or not (gray or colour) or 0 in shape:
        order = ", in Fortran order" if fortran else ""
        raise DataError(f"{name} has the shape {list(shape)} and the type {kind}{order}; {EXPECTED}")
    labels = _labels(archive, part)
    if len(labels) != shape[0]:
        raise DataError(f"{name} has {shape[0]:,} images and {part}_labels {len(labels):,} labels; {EXPECTED}")
    return ImageArray(part, labels, (shape[1], shape[2]), colour)


def _labels(archive: zipfile.ZipFile, part: str) -> NDArray[np.int64]:
    name = f"{part}_labels"
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"there is no array {name}; {EXPECTED}")
    with archive.open(f"{name}.npy") as file:
        labels = npy.read_array(file, allow_pickle=False)
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(f"{name} has {labels.shape[1]} labels for each image; a study needs one class for each")
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biu":
        raise DataError(
            f"{name} has the shape {list(labels.shape)} and the type {labels.dtype}; expected whole numbers [n, 1]"
        )
    return labels.reshape(-1).astype(np.int64)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape of an array, whether it is in Fortran order, and its type; `file` then stands before its values."""
    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    return read(file)


def _unpack(archive: zipfile.ZipFile, array: ImageArray, folder: Path) -> None:
    """Write the images of an array, one after the other: it may be larger than the memory."""
    height, width = array.size
    count = height * width * (3 if array.colour else 1)
    start = f"P{6 if array.colour else 5}\n{width} {height}\n255\n".encode()
    for label in np.unique(array.labels).tolist():
        (folder / array.name / str(label)).mkdir(parents=True)
    with archive.open(f"{array.name}_images.npy") as file:
        _header(file)
        for name in array.files:
            pixels = file.read(count)
            if len(pixels) < count:
                raise ValueError(f"{array.name}_images ends before its last image")
            (folder / name).write_bytes(start + pixels)
        if file.read(1):  # the end of the archive's file, where its checksum is compared
            raise ValueError(f"{array.name}_images goes on after its last image")
