"""Every image decoded once, up front, into one file of bytes that all fits share."""

import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.data.manifest import Dataset
from harness.errors import DataError
from harness.plan import digest
from harness.store import Store, new_folder, one_maker

DECODER = 1  # raise it when the pixels that come out change
AHEAD = 64  # decoded images that wait to be written
Pixels = NDArray[np.uint8]  # [n, channels, height, width]; one channel where every image is gray
Progress = Callable[[int, int], None]  # done, total


def pixel_cache(dataset: Dataset, image_size: int, store: Store, progress: Progress = lambda *_: None) -> Path:
    """The file with the pixels of the manifest's images, in its order, decoded now if it is not there yet.

    Of several processes one decodes and the others wait for it.
    Raises DataError naming every unreadable image (five at most); then nothing is written.
    """
    key = digest([DECODER, image_size, dataset.table["sha256"].tolist()])
    path = store.cache / "pixels" / f"{key}.npy"
    if not path.exists():
        with one_maker(path):
            if not path.exists():
                _make(path, [dataset.root / image for image in dataset.table["image"]], image_size, progress)
    return path


def _make(path: Path, files: list[Path], size: int, progress: Progress) -> None:
    with new_folder(path.parent) as folder:
        part = folder / path.name
        # Most medical images are gray: one channel, until the first coloured image says otherwise.
        if not _decode_all(files, size, part, 1, progress):
            _decode_all(files, size, part, 3, progress)
        part.replace(path)


def open_pixels(path: Path) -> Pixels:
    """The pixels of a cache file, memory-mapped."""
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def release(array: NDArray[Any]) -> None:
    """Lets go of the memory that holds what was read of a mapped file, which would grow to the size of the file."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def pieces(pixels: Pixels, rows: int = 256) -> Iterator[Pixels]:
    """The pixels piece by piece, in order, never holding more than one."""
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows]
        release(pixels)


def _decode_all(files: list[Path], size: int, part: Path, channels: int, progress: Progress) -> bool:
    """Fills the file `part`, image by image; False as soon as one is coloured and there is but one channel."""
    bad: list[str] = []
    with part.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), channels, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        for index, image in enumerate(_decoded(files, size)):
            if isinstance(image, str):
                bad.append(image)
            elif image.ndim == 3 and channels == 1:
                return False
            else:
                planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
                file.write(np.broadcast_to(planes, (channels, size, size)).tobytes())
            progress(index + 1, len(files))
        file.flush()
        os.fsync(file.fileno())
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise DataError(f"{len(bad)} of {len(files)} images cannot be read: {'; '.join(bad[:5])}{more}")
    return True


def _decoded(files: list[Path], size: int) -> Iterator[Pixels | str]:
    """The decoded images in order, AHEAD at most at a time; a string says why one cannot be read.

    Pillow decodes and resizes outside of Python's lock, so that threads use every core.
    """
    waiting: deque[Future[Pixels | str]] = deque()
    with ThreadPoolExecutor() as pool:
        for file in files:
            waiting.append(pool.submit(_decode, file, size))
            if len(waiting) == AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(file: Path, size: int) -> Pixels | str:
    try:
        return decode(file, size)
    except Exception as error:  # Pillow raises almost anything on a broken file
        reason = str(error).replace(f" {str(file)!r}", "").splitlines()
        return f"{file} ({reason[0] if reason else type(error).__name__})"


def decode(file: Path, size: int) -> Pixels:
    """The image as bytes, [size, size] where it is gray and [size, size, 3] where it is not. Bilinear, antialiased."""
    with Image.open(file) as opened:
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or 2**63):
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than Pillow's safe limit")
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
        image = _eight_bit(opened)
    if image.mode != "L":
        image = image.convert("RGB")
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            image = red
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Images of 16 bits a pixel keep their high byte; Pillow itself would clip them at 255."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8))
    return image.convert("L") if image.mode in ("1", "LA", "F") else image
