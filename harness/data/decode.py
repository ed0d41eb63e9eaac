"""Decode image files to 8 bits.

The rules, the same for the files of a study, of `predict` and of a served model:

- Transparent pixels are composited on white, as browsers show them; an opaque alpha channel is dropped.
- Of 16 bits the high byte is used, or what a window says; inverted where the file says that 0 is white.
- Signed integers, integers of 32 bits and floats are refused, as their black and white levels are unknown, but for TIFF
  files with a window.
- Of several frames or pages the first is read, or the one that the rules name, and rotated as its EXIF data say.
- All other modes are converted to gray or RGB of 8 bits by Pillow, CMYK without a colour profile.
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

from harness.data.resizing import square
from harness.data.windows import windowed
from harness.errors import first_line
from harness.study.pixel_rules import DEFAULT_RULES, PixelRules, Window

DECODER = 2  # raise it when the decoded pixels change
IMAGES_PER_TASK = 16  # of a thread
EXCLUDED_FORMATS = {"EPS"}  # a program that Pillow would run by Ghostscript
PNG_END = b"IEND\xaeB`\x82"
COLOURED = ("RGB", "RGBA", "LA")
PHOTOMETRIC, SAMPLE_FORMAT = 262, 339  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # their values
RESCALE = "scale them from black to white, and save the image with 8 or 16 unsigned bits"
DECLARE = ", or declare their range in data.window"  # of TIFF files
WINDOWED_FORMATS = ("PNG", "TIFF")  # whose numbers Pillow reads as they are; it scales those of others to 16 bits
Pixels = NDArray[np.uint8]  # [n, channels, height, width]; one channel if all images are gray
Progress = Callable[[int, int], None]  # done, total
Counting = Callable[[str, int, int], None]  # what, done, total

# Relevant problems are refused here or counted by the audit.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


def image_extensions() -> set[str]:
    """The file extensions that are read as images: `.png`, ..."""
    formats = {*_formats()}
    return {extension for extension, kind in Image.registered_extensions().items() if kind in formats}


@cache
def _formats() -> list[str]:
    Image.init()
    return [kind for kind in Image.ID if kind not in EXCLUDED_FORMATS]


def decoded(files: Sequence[Path], hashes: Sequence[str], size: int, rules: PixelRules) -> Iterator[Pixels | str]:
    """Decode the files in order, a bounded number ahead; a string says why a file cannot be read.

    hashes: the SHA-256 of each file when it was found; a file that has changed since is not read.
    Pillow decodes and resizes without the GIL, so that threads use every core. Each takes several images at a time, and
    there are no more threads than cores: passing on the GIL costs as much as a small image.
    """

    def decode_all(part: slice) -> list[Pixels | str]:
        return [_decoded(file, sha, size, rules) for file, sha in zip(files[part], hashes[part], strict=True)]

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[Future[list[Pixels | str]]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for start in range(0, len(files), IMAGES_PER_TASK):
            waiting.append(pool.submit(decode_all, slice(start, start + IMAGES_PER_TASK)))
            if len(waiting) > 2 * cores:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _decoded(file: Path, sha: str, size: int, rules: PixelRules) -> Pixels | str:
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha:
            return "it has changed since the command started"
        return decode(io.BytesIO(content), size, rules)
    except Exception as error:  # Pillow raises almost anything on a broken file
        return reason(error)


def reason(error: Exception) -> str:
    """The reason why an image cannot be read, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = first_line(error)
    return "not an image that Pillow reads" if text.startswith("cannot identify") else text


def unreadable(bad: Mapping[str, str], total: int) -> str:
    """The line that names up to five bad images, with their reasons."""
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    by_reason = groupby(list(bad.items())[:5], key=lambda item: item[1])
    named = "; ".join(f"{', '.join(file for file, _ in files)} ({why})" for why, files in by_reason)
    return f"{len(bad)} of {total} images cannot be read: {named}{more}"


def decode(file: Path | BinaryIO, size: int, rules: PixelRules = DEFAULT_RULES) -> Pixels:
    """Decode an image and make it a square: [size, size] if it is gray, else [size, size, 3].

    Raises ValueError, or what Pillow raises, where it is not a complete image of a safe size.
    """
    with Image.open(file, formats=_formats()) as opened:
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or 2**63):
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than Pillow's safe limit")
        _seek(opened, rules.frame)
        _require_known_range(opened, rules.window)
        opened.load()
        if opened.format == "PNG":
            _require_end(file)
        ImageOps.exif_transpose(opened, in_place=True)
        return resized(opened, size, rules)


def _seek(opened: ImageFile.ImageFile, frame: int | None) -> None:
    """Go to the frame or page of this number, counted from 1. Raises ValueError where there is none."""
    if frame is None:
        return
    require_frame(frame, 1 if opened.format == "PSD" else getattr(opened, "n_frames", 1))  # PSD: its layers
    if frame > 1:
        opened.seek(frame - 1)


def require_frame(frame: int, frames: int) -> None:
    """Raise ValueError where a file of so many frames lacks this one, counted from 1."""
    if frame > frames:
        raise ValueError(f"it has {frames} frame{'s' * (frames != 1)}, and data.frame asks for number {frame}")


def _require_end(file: Path | BinaryIO) -> None:
    """Raise ValueError where a PNG file is truncated after its pixels. For other formats Pillow raises."""
    if isinstance(file, Path):
        content = file.read_bytes()
    else:
        file.seek(0)
        content = file.read()
    if PNG_END not in content:
        raise ValueError("image file is truncated: its last chunk is missing")


def _require_known_range(opened: ImageFile.ImageFile, window: Window | None) -> None:
    """Raise ValueError where it is unknown which value is black, white or transparent."""
    kind = f"{opened.format} {opened.mode}"
    if not (window and opened.format == "TIFF"):
        mend = f"{RESCALE}{DECLARE if opened.format == 'TIFF' else ''}"
        if opened.mode == "F":
            raise ValueError(f"its pixels are floats, whose range is not known; {mend}")
        if SIGNED in _tag(opened, SAMPLE_FORMAT) or kind == "FITS I;16":
            raise ValueError(f"its pixels are signed integers, whose range is not known; {mend}")
        if opened.mode == "I" and opened.format != "PPM":  # Pillow scales PPM to 16 bits by the maximum in its header
            raise ValueError(f"its pixels are integers of 32 bits, whose range is not known; {mend}")
    if window:
        _require_numbers(opened, window)
    if kind in ("PNG L", "PNG RGB") and "transparency" in opened.info and opened.tile[0].args != opened.mode:
        raise ValueError(
            "it has a transparent colour and not 8 bits, which Pillow does not support; save it with 8 bits"
        )


def _require_numbers(opened: ImageFile.ImageFile, window: Window) -> None:
    """Raise ValueError where Pillow gives other numbers than those of the file, to which a window applies."""
    if opened.mode in COLOURED and ";16" in _raw_mode(opened):
        raise ValueError(
            "it has colours of 16 bits, to which data.window does not apply; save it as gray or with 8 bits"
        )
    if isinstance(window, tuple) and opened.mode.startswith("I") and opened.format not in WINDOWED_FORMATS:
        raise ValueError(
            f"Pillow scales the numbers of {opened.format} files, so a window in numbers does not apply; write"
            " data.window: full or percentile, or save it as PNG or TIFF"
        )


def _raw_mode(opened: ImageFile.ImageFile) -> str:
    """How the pixels lie in the file, as Pillow names it: `RGB;16B`."""
    arguments = opened.tile[0].args if opened.tile else ""
    return str(arguments if isinstance(arguments, str) else next(iter(arguments or ()), ""))


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    """The values of a TIFF tag; empty for other formats."""
    value = getattr(image, "tag_v2", {}).get(number, ())
    return value if isinstance(value, tuple) else (value,)


def resized(image: Image.Image, size: int, rules: PixelRules = DEFAULT_RULES) -> Pixels:
    """The pixels of an upright image, as `decode` returns them."""
    image = _on_white(_eight_bits(image, rules.window))
    if image.mode in ("1", "LA"):
        image = image.convert("L")
    if image.mode != "L":
        image = image.convert("RGB")
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            image = red
    return np.asarray(square(image, size, rules.resize))


def _eight_bits(image: Image.Image, window: Window | None) -> Image.Image:
    """Convert a gray image of more than 8 bits, white where transparent; return others unchanged.

    Without a window, to the high byte of each pixel.
    """
    signed = SIGNED in _tag(image, SAMPLE_FORMAT)
    if not image.mode.startswith("I") and image.mode != "F" and not signed:
        return image
    values = np.asarray(image)
    if image.mode == "L":
        values = values.view(np.int8)
    if image.mode == "I" and getattr(image, "tag_v2", None) and not signed:
        values = values.view(np.uint32)
    levels = (values >> 8).astype(np.uint8) if window is None else windowed(values, window)
    if _tag(image, PHOTOMETRIC) == (WHITE_IS_ZERO,):  # with 8 bits Pillow inverts them
        levels = 255 - levels
    if "transparency" in image.info:
        levels[values == image.info["transparency"]] = 255
    return Image.fromarray(levels)


def _on_white(image: Image.Image) -> Image.Image:
    """Composite an image with transparent pixels on white; return others unchanged."""
    if not is_transparent(image):
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is partly or fully transparent."""
    if not image.has_transparency_data:
        return False
    if image.mode.startswith("I"):
        return bool((np.asarray(image) == image.info["transparency"]).any())
    return image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
