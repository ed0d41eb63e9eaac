"""Gray images of more than 8 bits: what becomes black, and what white."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from harness.study.pixel_rules import Window

PERCENTILES = (0.5, 99.5)  # of the pixels of an image, in percent; what is outside becomes black or white
COLOURED = ("RGB", "RGBA", "LA")
PHOTOMETRIC, SAMPLE_FORMAT = 262, 339  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # their values
RESCALE = "scale them from black to white, and save the image with 8 or 16 unsigned bits"
DECLARE = ", or declare their range in data.window"  # of TIFF files
DEEP_COLOURS = "it has colours of more than 8 bits, to which data.window does not apply; save it as gray or with 8 bits"
WINDOWED_FORMATS = ("PNG", "TIFF")  # whose numbers Pillow reads as they are; it scales those of others to 16 bits


def require_known_range(opened: ImageFile.ImageFile, window: Window | None) -> None:
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
        raise ValueError(DEEP_COLOURS)
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


def eight_bits(image: Image.Image, window: Window | None) -> Image.Image:
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


def windowed(values: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Scale values to 8 bits, black at the lower end of the window and white at the upper one.

    Raises ValueError where a value is no finite number.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("some of its pixels are not numbers (NaN or infinite); replace them, and save the image again")
    return scaled(values, *_limits(values, window))


def _limits(values: NDArray[Any], window: Window) -> tuple[float, float]:
    """The values that become black and white."""
    if isinstance(window, tuple):
        return window
    if window == "percentile":
        low, high = np.percentile(values, PERCENTILES)
        if low < high:
            return float(low), float(high)
    return float(values.min()), float(values.max())


def scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale values linearly, `low` to 0 and `high` to 255, and clip them; all are 0 where the two are the same."""
    if low == high:
        return np.zeros(values.shape, dtype=np.uint8)
    levels = values.astype(np.float64)
    levels -= low
    levels *= 255
    levels /= high - low
    return np.rint(levels.clip(0, 255, out=levels), out=levels).astype(np.uint8)
