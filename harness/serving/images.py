"""Convert images of users (files, bytes, arrays of any size) to pixels, as a study does."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.decode import Pixels, decode, reason, resized
from harness.errors import DataError
from harness.study.pixel_rules import DEFAULT_RULES, PixelRules

AnyImage = Path | str | bytes | NDArray[Any]
WITH_WINDOW = {"int16": np.int32, "int32": np.int32, "float32": np.float32, "float64": np.float32}  # as Pillow has them


def read_images(images: Sequence[AnyImage], size: int, rules: PixelRules = DEFAULT_RULES) -> Pixels:
    """Read images as pixels [n, channels, size, size]; one channel if all are gray.

    Raises DataError for the first one that is not an image.
    """
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(partial(_read, size=size, rules=rules), images, range(1, len(images) + 1)))
    if all(image.ndim == 2 for image in read):
        return np.stack(read)[:, None]
    coloured = [np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image for image in read]
    return np.stack(coloured).transpose(0, 3, 1, 2)


def _read(image: AnyImage, number: int, size: int, rules: PixelRules) -> Pixels:
    """Read one image: [size, size] or [size, size, 3]."""
    if isinstance(image, np.ndarray):
        return resized(_picture(image, number, rules), size, rules)
    name = f"image {number}" if isinstance(image, bytes) else str(image)
    try:
        return decode(io.BytesIO(image) if isinstance(image, bytes) else Path(image), size, rules)
    except FileNotFoundError:
        raise DataError(f"{name} does not exist; name image files") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder; name image files, such as {name}/*") from None
    except Exception as error:  # Pillow raises almost anything on a broken file
        raise DataError(f"{name} cannot be read: {reason(error, name)}") from None


def _picture(array: NDArray[Any], number: int, rules: PixelRules) -> Image.Image:
    """Convert an array to a Pillow image. Raises DataError where that is not possible."""
    gray, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    kinds = {"uint8": np.uint8, "uint16": np.uint16} | (WITH_WINDOW if rules.window else {})
    kind = kinds.get(array.dtype.name)
    if not array.size or kind is None or not (gray or (colour and kind == np.uint8)):
        raise DataError(
            f"image {number}: an array of shape {array.shape} and type {array.dtype}; allowed: uint8 [height, width]"
            f" or [height, width, 3 or 4], {', '.join(list(kinds)[1:])} [height, width]"
        )
    return Image.fromarray(array.astype(kind))
