"""Every image decoded once, up front, into one file of bytes that all fits share."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.data.manifest import Dataset
from harness.errors import DataError
from harness.failpoints import failpoint
from harness.plan import digest
from harness.store import Store, new_folder

DECODER = 1  # raise it when the pixels that come out change
Pixels = NDArray[np.uint8]  # [n, channels, height, width]; one channel where every image is gray
Progress = Callable[[int, int], None]  # done, total


def pixel_cache(dataset: Dataset, image_size: int, store: Store, progress: Progress = lambda *_: None) -> Path:
    """The file with the pixels of the manifest's images, in its order, decoded now if it is not there yet.

    Raises DataError naming every unreadable image (five at most); then nothing is written.
    """
    key = digest([DECODER, image_size, dataset.table["sha256"].tolist()])
    path = store.cache / "pixels" / f"{key}.npy"
    if path.exists():
        return path
    files = [dataset.root / image for image in dataset.table["image"]]
    with new_folder(path.parent) as folder:
        part = folder / path.name
        # Most medical images are gray: one channel, until the first coloured image says otherwise.
        if not _decode_all(files, image_size, part, 1, progress):
            _decode_all(files, image_size, part, 3, progress)
        failpoint("pixels.written")
        part.replace(path)
        failpoint("pixels.replaced")
    return path


def open_pixels(path: Path) -> Pixels:
    """The pixels of a cache file, memory-mapped."""
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def _decode_all(files: list[Path], size: int, part: Path, channels: int, progress: Progress) -> bool:
    """Fills the file `part`; False as soon as an image is coloured and there is but one channel."""
    pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(files), channels, size, size))
    bad: list[str] = []
    for index, image in enumerate(_decoded(files, size)):
        if isinstance(image, str):
            bad.append(image)
        elif image.ndim == 3 and channels == 1:
            return False
        else:
            pixels[index] = image if image.ndim == 2 else image.transpose(2, 0, 1)
        progress(index + 1, len(files))
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise DataError(f"{len(bad)} of {len(files)} images cannot be read: {'; '.join(bad[:5])}{more}")
    pixels.flush()
    with part.open("rb") as file:
        os.fsync(file.fileno())
    return True


def _decoded(files: list[Path], size: int) -> Iterator[Pixels | str]:
    """The decoded images in order, a bounded number ahead; a string says why one cannot be read."""
    chunk = 256
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), chunk):
            yield from pool.map(lambda file: _decode(file, size), files[start : start + chunk])


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
        image = ImageOps.exif_transpose(opened)
    image = _eight_bit(image)
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
