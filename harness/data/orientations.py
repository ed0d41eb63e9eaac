"""The ways in which an image may be another one: turned, mirrored or inverted."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

Coefficients = NDArray[np.float32]  # [n, side, side], of the cosine transform; rows are vertical frequencies
_ORIENTATIONS = {  # (transposed, mirrored left to right, mirrored top to bottom), of the image after it is transposed
    (False, False, False): "", (False, True, False): "mirrored", (False, False, True): "mirrored top to bottom",
    (False, True, True): "turned by 180 degrees", (True, True, False): "turned by 90 degrees",
    (True, False, True): "turned by 90 degrees", (True, False, False): "mirrored and turned by 90 degrees",
    (True, True, True): "mirrored and turned by 90 degrees",
}  # fmt: skip
WAYS = tuple(  # in the order of `oriented`; the first is the image as it is
    " and ".join(filter(None, (words, "inverted" * inverted)))
    for inverted, words in product((False, True), _ORIENTATIONS.values())
)


def oriented(low: Coefficients) -> Iterator[Coefficients]:
    """Yield the coefficients of the images in each of WAYS: eight orientations, then those of the negatives.

    Mirroring an image changes the sign of its odd frequencies, transposing it exchanges the axes, and inverting it
    changes all signs but that of the mean. Each way back is among the ways.
    """
    signs = np.where(np.arange(low.shape[1]) % 2, -1, 1).astype(np.float32)
    for sign in (np.float32(1), np.float32(-1)):
        for transposed, across, down in _ORIENTATIONS:
            turned = sign * (low.transpose(0, 2, 1) if transposed else low)
            turned = turned * signs if across else turned
            yield turned * signs[:, None] if down else turned
