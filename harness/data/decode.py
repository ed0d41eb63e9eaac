"""One image file as bytes of eight bits, or the reason why it cannot be."""

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

DECODER = 1  # raise it when the pixels that come out change
TOGETHER = 16  # images that a thread decodes before it hands them over
NO_IMAGES = {"EPS"}  # a program, that Pillow would have Ghostscript run
PNG_END = b"IEND\xaeB`\x82"
Pixels = NDArray[np.uint8]  # [n, channels, height, width]; one channel where every image is gray
Progress = Callable[[int, int], None]  # done, total

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # refused here, not only warned of


def endings() -> set[str]:
    """The endings of the names of files that are read as images: `.png`, ..."""
    formats = {*_formats()}
    return {ending for ending, kind in Image.registered_extensions().items() if kind in formats}


@cache
def _formats() -> list[str]:
    Image.init()
    return [kind for kind in Image.ID if kind not in NO_IMAGES]


def decoded(files: Sequence[Path], hashes: Sequence[str], size: int) -> Iterator[Pixels | str]:
    """The images in order, a bounded number ahead; a string says why one cannot be read.

    hashes: the SHA-256 that each file had when it was found; one that has changed since is not read.
    Pillow decodes and resizes outside of Python's lock, so that threads use every core. They take several images at a
    time, and are no more than the cores: handing the lock on costs as much as a small image.
    """

    def decode_all(part: slice) -> list[Pixels | str]:
        return [_decoded(file, sha, size) for file, sha in zip(files[part], hashes[part], strict=True)]

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[Future[list[Pixels | str]]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for start in range(0, len(files), TOGETHER):
            waiting.append(pool.submit(decode_all, slice(start, start + TOGETHER)))
            if len(waiting) > 2 * cores:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _decoded(file: Path, sha: str, size: int) -> Pixels | str:
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha:
            return "it has changed since the command started"
        return decode(io.BytesIO(content), size)
    except Exception as error:  # Pillow raises almost anything on a broken file
        return reason(error)


def reason(error: Exception) -> str:
    """Why an image cannot be read, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "not an image that Pillow reads" if text.startswith("cannot identify") else text


def unreadable(bad: Mapping[str, str], total: int) -> str:
    """The line that names bad images, with the reason of each; five at most."""
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    named = "; ".join(f"{file} ({why})" for file, why in list(bad.items())[:5])
    return f"{len(bad)} of {total} images cannot be read: {named}{more}"


def decode(file: Path | BinaryIO, size: int) -> Pixels:
    """The image as bytes, [size, size] where it is gray and [size, size, 3] where it is not. Bilinear, antialiased.

    Raises ValueError, or whatever Pillow raises, where it is no whole image of a safe size.
    """
    with Image.open(file, formats=_formats()) as opened:
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or 2**63):
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than Pillow's safe limit")
        opened.load()
        if opened.format == "PNG":
            _require_end(file)
        ImageOps.exif_transpose(opened, in_place=True)
        return resized(opened, size)


def _require_end(file: Path | BinaryIO) -> None:
    """Raises ValueError where a PNG file was cut behind its pixels. Of other formats Pillow itself says so."""
    if isinstance(file, Path):
        content = file.read_bytes()
    else:
        file.seek(0)
        content = file.read()
    if PNG_END not in content:
        raise ValueError("image file is truncated: its last chunk is missing")


def resized(image: Image.Image, size: int) -> Pixels:
    """The bytes of an upright image, as `decode` gives them."""
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
    if image.mode == "F":
        raise ValueError("its pixels are floats, whose range is not known; save it with 8 or 16 bits")
    return image.convert("L") if image.mode in ("1", "LA") else image
