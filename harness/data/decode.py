"""One image file as bytes of eight bits, or the reason why it cannot be.

The rules, for the files of a study, of `predict` and of a served model alike:

- Transparent pixels are laid on white, as a browser shows them; alpha that is opaque everywhere is dropped.
- Of 16 bits the high byte is kept, the other way round where the file says that 0 is white.
- Signed integers, integers of 32 bits and floats are refused, as nobody knows what is black and what is white.
- Of several frames or pages the first is read, upright as its EXIF data say.
- All other modes become gray or RGB of 8 bits as Pillow converts them, inks without a colour profile.
"""

import hashlib
import io
import logging
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from harness.errors import first_line

DECODER = 2  # raise it when the pixels that come out change
TOGETHER = 16  # images that a thread decodes before it hands them over
NO_IMAGES = {"EPS"}  # a program, that Pillow would have Ghostscript run
PNG_END = b"IEND\xaeB`\x82"
PHOTOMETRIC, SAMPLE_FORMAT = 262, 339  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # their values
UNSCALED = "scale them from black to white, and save the image with 8 or 16 unsigned bits"
Pixels = NDArray[np.uint8]  # [n, channels, height, width]; one channel where every image is gray
Progress = Callable[[int, int], None]  # done, total
Counting = Callable[[str, int, int], None]  # what, done, total

# What matters of it is refused here or counted by the audit.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


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
    text = first_line(error)
    return "not an image that Pillow reads" if text.startswith("cannot identify") else text


def unreadable(bad: Mapping[str, str], total: int) -> str:
    """The line that names bad images, five at most, and after those of one reason the reason."""
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    named = groupby(list(bad.items())[:5], key=lambda item: item[1])
    told = "; ".join(f"{', '.join(file for file, _ in files)} ({why})" for why, files in named)
    return f"{len(bad)} of {total} images cannot be read: {told}{more}"


def decode(file: Path | BinaryIO, size: int) -> Pixels:
    """The image as bytes, [size, size] where it is gray and [size, size, 3] where it is not. Bilinear, antialiased.

    Raises ValueError, or whatever Pillow raises, where it is no whole image of a safe size.
    """
    with Image.open(file, formats=_formats()) as opened:
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or 2**63):
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than Pillow's safe limit")
        _require_known_range(opened)
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


def _require_known_range(opened: ImageFile.ImageFile) -> None:
    """Raises ValueError where nobody knows which number is black, which is white, or which is transparent."""
    kind = f"{opened.format} {opened.mode}"
    if opened.mode == "F":
        raise ValueError(f"its pixels are floats, whose range is not known; {UNSCALED}")
    if SIGNED in _tag(opened, SAMPLE_FORMAT) or kind == "FITS I;16":
        raise ValueError(f"its pixels are signed integers, whose range is not known; {UNSCALED}")
    if opened.mode == "I" and opened.format != "PPM":  # Pillow scales those to 16 bits by the maximum that they name
        raise ValueError(f"its pixels are integers of 32 bits, whose range is not known; {UNSCALED}")
    if kind in ("PNG L", "PNG RGB") and "transparency" in opened.info and opened.tile[0].args != opened.mode:
        raise ValueError(
            "it has a transparent colour and not 8 bits, where Pillow does not find it; save it with 8 bits"
        )


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    """The values of a tag of TIFF; none in other images."""
    value = getattr(image, "tag_v2", {}).get(number, ())
    return value if isinstance(value, tuple) else (value,)


def resized(image: Image.Image, size: int) -> Pixels:
    """The bytes of an upright image, as `decode` gives them."""
    image = _on_white(_high_byte(image))
    if image.mode in ("1", "LA"):
        image = image.convert("L")
    if image.mode != "L":
        image = image.convert("RGB")
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            image = red
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _high_byte(image: Image.Image) -> Image.Image:
    """Images of 16 bits a pixel as the high byte of each, white where they are transparent; others as they are."""
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    high = (values >> 8).astype(np.uint8)
    if _tag(image, PHOTOMETRIC) == (WHITE_IS_ZERO,):  # of 8 bits Pillow itself turns them
        high = 255 - high
    if "transparency" in image.info:
        high[values == image.info["transparency"]] = 255
    return Image.fromarray(high)


def _on_white(image: Image.Image) -> Image.Image:
    """The image on a white ground where any of it is transparent; else as it is."""
    if not is_transparent(image):
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel lets the ground through, wholly or in part."""
    if not image.has_transparency_data:
        return False
    if image.mode.startswith("I"):
        return bool((np.asarray(image) == image.info["transparency"]).any())
    return image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
