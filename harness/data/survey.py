"""Statistics of the pixels for the audit, from one pass over all images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Rows
from harness.data.decode import Pixels, Progress
from harness.data.duplicates import HASHED_SIZE, Hashes, Thumbnails, perceptual_hashes
from harness.data.pixels import pieces

THUMBNAIL_SIDE = 16  # pixels
MAX_BLANK_SPREAD = 3  # gray levels between the darkest and the brightest pixel of a blank image, or of a blank row


@dataclass(frozen=True)
class Survey:
    """Statistics of the pixels of n images.

    thumbnails: [n, 16, 16]; hashes: [n, ways, 4]; brightest, spread: [n], the maximum of all pixels and the largest
    range of a channel; levels: [classes, 256], the histogram of gray levels of each class; borders: [n], the share of
    the area that is a constant border.
    """

    thumbnails: Thumbnails
    hashes: Hashes
    brightest: NDArray[np.uint8]
    spread: NDArray[np.uint8]
    levels: NDArray[np.int64]
    borders: NDArray[np.float64]


def survey(pixels: Pixels, labels: Rows, progress: Progress = lambda *_: None) -> Survey:
    """Compute the statistics of images of at least 32 px. labels: [n], class indices."""
    thumbnails, hashes, highest, lowest, borders = [], [], [], [], []
    levels, done = np.zeros((int(labels.max()) + 1, 256), dtype=np.int64), 0
    for piece in pieces(pixels):
        gray = piece.mean(axis=1, dtype=np.float32)
        thumbnails.append(pooled(gray, THUMBNAIL_SIDE))
        hashes.append(perceptual_hashes(pooled(gray, HASHED_SIZE)))
        borders.append(border_shares(gray))
        highest.append(piece.max(axis=(2, 3)))
        lowest.append(piece.min(axis=(2, 3)))
        for label, image in zip(labels[done:], gray, strict=False):
            levels[label] += np.bincount(image.round().astype(np.uint8).ravel(), minlength=256)
        done += len(piece)
        progress(done, len(pixels))
    high, low = np.concatenate(highest), np.concatenate(lowest)
    spread = (high - low).max(axis=1)
    shares = np.concatenate(borders)
    return Survey(np.concatenate(thumbnails), np.concatenate(hashes), high.max(axis=1), spread, levels, shares)


def border_shares(gray: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of each of the images [n, height, width] that is rows and columns of one gray level at its edges."""
    inner = [_inner_share(gray.max(axis=axis) - gray.min(axis=axis) <= MAX_BLANK_SPREAD) for axis in (1, 2)]
    return np.asarray(1 - inner[0] * inner[1])


def _inner_share(flat: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of rows between the first and the last one that is not flat, [n]; 1 where all are. flat: [n, rows]."""
    before, behind = np.argmin(flat, axis=1), np.argmin(flat[:, ::-1], axis=1)
    return np.asarray(1 - (before + behind) / flat.shape[1])


def pooled(gray: NDArray[np.float32], side: int) -> Thumbnails:
    """Reduce gray images to [n, side, side] by average pooling."""
    edges = np.linspace(0, gray.shape[-1], side + 1).round().astype(int)
    areas = np.outer(np.diff(edges), np.diff(edges)).astype(np.float32)
    sums = np.add.reduceat(np.add.reduceat(gray, edges[:-1], axis=2), edges[:-1], axis=1)
    return np.asarray(sums / areas)
