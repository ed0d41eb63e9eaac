"""Decode image files to 8 bits.

The rules, the same for the files of a study, of `predict` and of a served model:

- Transparent pixels are composited on white, as browsers show them; an opaque alpha channel is dropped.
- Of 16 bits the high byte is used, or what a window says; inverted where the file says that 0 is white.
- Signed integers, integers of 32 bits and floats are refused, as their black and white levels are unknown, but for TIFF
  files with a window.
- Of several frames or pages the first is read, or the one that the rules name, and rotated as its EXIF data say.
- DICOM files are read by pydicom, with their rescaling and their window or VOI LUT, and inverted where they are
  MONOCHROME1; of several frames none is read unless the rules name it.
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

from harness.data.dicom import EXTENSIONS, MAGIC_END, dicom_image, has_pydicom, is_dicom, is_dicom_file
from harness.data.resizing import square
from harness.data.windows import eight_bits, require_known_range
from harness.errors import first_line
from harness.study.pixel_rules import DEFAULT_RULES, PixelRules

DECODER = 2  # raise it when the decoded pixels change
IMAGES_PER_TASK = 16  # of a thread
EXCLUDED_FORMATS = {"EPS"}  # a program that Pillow would run by Ghostscript
PNG_END = b"IEND\xaeB`\x82"
Pixels = NDArray[np.uint8]  # [n, channels, height, width]; one channel if all images are gray
Progress = Callable[[int, int], None]  # done, total
Counting = Callable[[str, int, int], None]  # what, done, total

# Relevant problems are refused here or counted by the audit.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


def is_image_file(path: str) -> bool:
    """Whether a file is read as an image: by its ending; a DICOM file by its first bytes where it has none."""
    return Path(path).suffix.lower() in image_extensions() or (has_pydicom() and is_dicom_file(path))


def image_extensions() -> set[str]:
    """The endings of files that are read as images: `.png`, ..."""
    return {*_pillow_extensions(), *(EXTENSIONS if has_pydicom() else ())}


@cache
def _pillow_extensions() -> set[str]:
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
        return reason(error, file.name)


def reason(error: Exception, name: str = "") -> str:
    """The reason why an image of this name cannot be read, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = first_line(error)
    if not text.startswith("cannot identify"):
        return text
    dicom = name.lower().endswith(EXTENSIONS)
    return "not a DICOM file: DICM is not at its byte 128" if dicom else "not an image that Pillow reads"


HOW_TO_MEND = "; mend or remove them, or leave them out with data: {on_bad_image: skip}"


def unreadable(bad: Mapping[str, str], total: int) -> str:
    """The line that names up to five bad images, with their reasons."""
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    by_reason = groupby(list(bad.items())[:5], key=lambda item: item[1])
    named = "; ".join(f"{', '.join(file for file, _ in files)} ({why})" for why, files in by_reason)
    return f"{len(bad)} of {total} images cannot be read: {named}{more}"


def decode(file: Path | BinaryIO, size: int, rules: PixelRules = DEFAULT_RULES) -> Pixels:
    """Decode an image and make it a square: [size, size] if it is gray, else [size, size, 3].

    Raises ValueError, or what Pillow or pydicom raises, where it is not a complete image of a safe size.
    """
    if is_dicom(_head(file)):
        return resized(dicom_image(file, rules), size, rules)
    with Image.open(file, formats=_formats()) as opened:
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or 2**63):
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than Pillow's safe limit")
        _seek(opened, rules)
        require_known_range(opened, rules.window)
        opened.load()
        if opened.format == "PNG":
            _require_end(file)
        ImageOps.exif_transpose(opened, in_place=True)
        return resized(opened, size, rules)


def _head(file: Path | BinaryIO) -> bytes:
    """The first bytes of a file, which say whether it is a DICOM file."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(MAGIC_END)
    head = file.read(MAGIC_END)
    file.seek(0)
    return head


def _seek(opened: ImageFile.ImageFile, rules: PixelRules) -> None:
    """Go to the frame or page that the rules name. Raises ValueError where there is none."""
    if rules.frame is not None:
        index = rules.frame_index(1 if opened.format == "PSD" else getattr(opened, "n_frames", 1))  # PSD: its layers
        if index:
            opened.seek(index)


def _require_end(file: Path | BinaryIO) -> None:
    """Raise ValueError where a PNG file is truncated after its pixels. For other formats Pillow raises."""
    if isinstance(file, Path):
        content = file.read_bytes()
    else:
        file.seek(0)
        content = file.read()
    if PNG_END not in content:
        raise ValueError("image file is truncated: its last chunk is missing")


def resized(image: Image.Image, size: int, rules: PixelRules = DEFAULT_RULES) -> Pixels:
    """The pixels of an upright image, as `decode` returns them."""
    image = _on_white(eight_bits(image, rules.window))
    if image.mode in ("1", "LA"):
        image = image.convert("L")
    if image.mode != "L":
        image = image.convert("RGB")
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            image = red
    return np.asarray(square(image, size, rules.resize))


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
