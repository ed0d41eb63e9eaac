"""Images that are the same, or as good as the same."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.cache import pieces
from harness.data.decode import Pixels

HASH_SIDE = 16  # 255 bits: on 5,840 chest radiographs the nearest two different images differ in 40 of them
NEAR = 16  # bits; recompressed or slightly rescaled copies stay below

Thumbnails = NDArray[np.float32]  # [n, side, side]
Hashes = NDArray[np.uint64]  # [n, 4]


def thumbnails(pixels: Pixels, side: int) -> Thumbnails:
    """The images pooled to [n, side, side] gray levels, each pixel the mean of its block."""
    return np.concatenate([_pooled(piece, side) for piece in pieces(pixels)])


def _pooled(pixels: Pixels, side: int) -> Thumbnails:
    edges = np.linspace(0, pixels.shape[-1], side + 1).round().astype(int)
    areas = np.outer(np.diff(edges), np.diff(edges)).astype(np.float32)
    gray = pixels.mean(axis=1, dtype=np.float32)
    sums = np.add.reduceat(np.add.reduceat(gray, edges[:-1], axis=2), edges[:-1], axis=1)
    return np.asarray(sums / areas)


def image_hashes(pixels: Pixels) -> Hashes:
    """The perceptual hashes [n, 4] of the images."""
    return np.concatenate([perceptual_hashes(_pooled(piece, 32)) for piece in pieces(pixels)])


def perceptual_hashes(small: Thumbnails) -> Hashes:
    """Hashes [n, 4] of 255 bits: which low frequencies of the cosine transform lie above their median (pHash).

    small: [n, 32, 32].
    """
    from scipy.fft import dctn

    low = dctn(small, axes=(1, 2))[:, :HASH_SIDE, :HASH_SIDE].reshape(len(small), -1)[:, 1:]  # without the mean
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1).view(np.uint64)


def near_pairs(hashes: Hashes, limit: int = NEAR) -> list[tuple[int, int, int]]:
    """All pairs (first, second, bits that differ) of rows at most `limit` bits apart, in order.

    Of limit + 1 parts of the bits two such rows have at least one in common, so only rows that agree in a part are
    compared, and the work grows little faster than the number of images. Which bits make a part is drawn once, as
    neighbouring frequencies tend to agree.
    """
    bits = np.unpackbits(hashes.view(np.uint8).reshape(len(hashes), -1), axis=1)
    columns = np.random.default_rng(0).permutation(bits.shape[1])
    found: set[tuple[int, int, int]] = set()
    for part in np.array_split(columns, limit + 1):
        packed = np.ascontiguousarray(np.packbits(bits[:, part], axis=1))
        keys = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1]
        order = np.argsort(keys, kind="stable")
        apart = 1
        while (same := np.flatnonzero(keys[order[apart:]] == keys[order[:-apart]])).size:
            first, second = order[same], order[same + apart]
            distance = np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1)
            near = distance <= limit
            found.update(zip(first[near].tolist(), second[near].tolist(), distance[near].tolist(), strict=True))
            apart += 1
    return sorted(found)


def exact_groups(table: pd.DataFrame) -> list[list[int]]:
    """The rows of every group of byte-identical files of two or more."""
    groups = table.groupby("sha256", sort=False).indices.values()
    return [[int(row) for row in rows] for rows in groups if len(rows) > 1]
