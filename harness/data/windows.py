"""From the numbers of a gray image to 8 bits: what becomes black, and what white."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.study.pixel_rules import Window

PERCENTILES = (0.5, 99.5)  # of the pixels of an image, in percent; what is outside becomes black or white


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
