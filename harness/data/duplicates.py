"""Images that are the same, or as good as the same."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.cache import Pixels

HASH_SIDE = 16  # 255 bits: on 5,840 chest radiographs the nearest two different images differ in 40 of them
NEAR = 16  # bits; recompressed or slightly rescaled copies stay below
CHUNK = 256

Thumbnails = NDArray[np.float32]  # [n, side, side]


def thumbnails(pixels: Pixels, side: int) -> Thumbnails:
    """The images pooled to [n, side, side] gray levels, each pixel the mean of its block."""
    edges = np.linspace(0, pixels.shape[-1], side + 1).round().astype(int)
    areas = np.outer(np.diff(edges), np.diff(edges)).astype(np.float32)
    small = np.empty((len(pixels), side, side), dtype=np.float32)
    for start in range(0, len(pixels), CHUNK):
        gray = pixels[start : start + CHUNK].mean(axis=1, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(gray, edges[:-1], axis=2), edges[:-1], axis=1)
        small[start : start + CHUNK] = sums / areas
    return small


def perceptual_hashes(small: Thumbnails) -> NDArray[np.uint64]:
    """Hashes [n, 4] of 255 bits: which low frequencies of the cosine transform lie above their median (pHash).

    small: [n, 32, 32].
    """
    from scipy.fft import dctn

    low = dctn(small, axes=(1, 2))[:, :HASH_SIDE, :HASH_SIDE].reshape(len(small), -1)[:, 1:]  # without the mean
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1).view(np.uint64)


def near_pairs(hashes: NDArray[np.uint64], limit: int = NEAR) -> list[tuple[int, int, int]]:
    """All pairs (first, second, bits that differ) of rows at most `limit` bits apart."""
    pairs = []
    for start in range(0, len(hashes), CHUNK):
        part = hashes[start : start + CHUNK]
        distance = np.zeros((len(part), len(hashes)), dtype=np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(part[:, None, word] ^ hashes[None, :, word])
        first, second = np.nonzero(distance <= limit)
        pairs += [
            (int(a) + start, int(b), int(distance[a, b])) for a, b in zip(first, second, strict=True) if a + start < b
        ]
    return pairs


def exact_groups(table: pd.DataFrame) -> list[list[int]]:
    """The rows of every group of byte-identical files of two or more."""
    groups = table.groupby("sha256", sort=False).indices.values()
    return [[int(row) for row in rows] for rows in groups if len(rows) > 1]
