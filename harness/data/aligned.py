"""Copies that are slightly turned, resized or cropped: images that agree once one is laid over the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.decode import Progress
from harness.data.duplicates import Thumbnails

VERSION = 1  # raise it when other images are found to be copies
COMPONENTS = 64  # of the descriptor of an image
NEIGHBOURS = 3  # of each image, those with the most similar descriptors, are laid over it
LEAST_SIMILARITY = 0.3  # of two descriptors, as the cosine of their angle
COARSE, FINE = (1.7, 10), (0.7, 6)  # blur in pixels of 32 a side, and steps
PROMISING = 0.96  # correlation after the coarse steps
ALIKE = 0.993  # and after the fine ones: of 5,840 chest radiographs the closest two of different patients have 0.9926
LEAST_OVERLAP = 0.6  # of the area
MAX_STEP = np.array([0.06, 0.06, 1, 1], np.float32)  # of scale and turn, and in pixels
MAX_MOVE = np.array([0.35, 0.35, 6, 6], np.float32)
BATCH = 512  # pairs at a time

Floats = NDArray[np.float32]
Pairs = NDArray[np.int64]  # [n, 2], rows


class AlignedPair(NamedTuple):
    """Two rows of which one is a moved copy of the other, and how well they agree (their correlation)."""

    row: int
    other: int
    agreement: float


def aligned_pairs(small: Thumbnails, progress: Progress = lambda *_: None) -> tuple[list[AlignedPair], int]:
    """The pairs of images that agree once one is laid over the other, and how many pairs were laid over each other.

    small: [n, 32, 32], gray. Each image is compared with the three most similar ones by a descriptor that small
    movements change little: its blurred pixels, whitened by principal components.
    """
    pairs, found = _similar(_descriptors(small)), list[AlignedPair]()
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        moves, agreement = _laid_over(small, part, np.zeros((len(part), 4), np.float32), COARSE)
        good = np.flatnonzero(agreement > PROMISING)
        if good.size:
            _, agreement = _laid_over(small, part[good], moves[good], FINE)
            found += [
                AlignedPair(int(row), int(other), float(value))
                for (row, other), value in zip(part[good], agreement, strict=True)
                if value > ALIKE
            ]
        progress(min(start + BATCH, len(pairs)), len(pairs))
    return sorted(found, key=lambda pair: -pair.agreement), len(pairs)


def _descriptors(small: Thumbnails) -> Floats:
    """Descriptors [n, components] of length 1."""
    from scipy.ndimage import gaussian_filter

    flat = gaussian_filter(small, (0, 1, 1))[:, ::2, ::2].reshape(len(small), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= flat.std(axis=1, keepdims=True) + 1e-6
    flat -= flat.mean(axis=0)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    kept = slice(-max(min(COMPONENTS, len(flat) // 4), 1), None)  # as many as images would make all equally different
    found = flat @ (vectors[:, kept] / np.sqrt(np.maximum(values[kept], 1e-6)))
    return np.asarray(found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-9), np.float32)


def _similar(descriptors: Floats) -> Pairs:
    """Each image with its nearest ones, the lower row first, each pair once."""
    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *_nearest(descriptors)]), axis=0)


def _nearest(descriptors: Floats, size: int = 1024) -> Iterator[Pairs]:
    """Yield the pairs of `size` images after the other."""
    for start in range(0, len(descriptors), size):
        similarity = descriptors[start : start + size] @ descriptors.T
        here = np.arange(len(similarity))
        similarity[here, start + here] = -1
        count = min(NEIGHBOURS, len(descriptors) - 1)
        best = np.argpartition(-similarity, count, axis=1)[:, :count] if count else np.empty((len(here), 0), np.int64)
        row, place = np.nonzero(np.take_along_axis(similarity, best, 1) >= LEAST_SIMILARITY)
        yield np.sort(np.stack([start + row, best[row, place]], axis=1), axis=1).astype(np.int64)


@dataclass(frozen=True)
class _Grid:
    """The places of the pixels of an image, from its centre. y, x: [side, side]."""

    half: float
    y: Floats
    x: Floats

    @classmethod
    def of(cls, side: int) -> "_Grid":
        half = (side - 1) / 2
        axis = np.arange(side, dtype=np.float32) - np.float32(half)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        return cls(half, y, x)

    def moved(self, moves: Floats) -> tuple[Floats, Floats, Floats]:
        """Where each pixel lies after moves [n, 4] (scale - 1, turn, down, right), and which lie inside, [n, s, s]."""
        scale, turn, down, right = (moves[:, k, None, None] for k in range(4))
        y, x = (1 + scale) * self.y + turn * self.x + down, (1 + scale) * self.x - turn * self.y + right
        return y, x, ((np.abs(y) <= self.half) & (np.abs(x) <= self.half)).astype(np.float32)

    def sample(self, images: Floats, y: Floats, x: Floats) -> Floats:
        """The values of images [n, s, s] at these places, interpolated linearly."""
        side, flat = images.shape[-1], images.reshape(len(images), -1)
        y, x = np.clip(y + self.half, 0, side - 1.001), np.clip(x + self.half, 0, side - 1.001)
        i, j = y.astype(np.int32), x.astype(np.int32)
        down, right = y - i, x - j

        def corner(offset: int) -> Floats:
            return np.take_along_axis(flat, (i * side + j + offset).reshape(len(flat), -1), 1).reshape(y.shape)

        upper = corner(0) * (1 - right) + corner(1) * right
        lower = corner(side) * (1 - right) + corner(side + 1) * right
        return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _laid_over(small: Thumbnails, pairs: Pairs, moves: Floats, how: tuple[float, int]) -> tuple[Floats, Floats]:
    """Lay the first image of each pair over the second one, starting from these moves.

    Returns the moves [n, 4], and the correlation of the two where they overlap, [n]; 0 where they overlap too little.
    Gauss-Newton steps for a similarity transform (Lucas and Kanade 1981), with the brightness fitted at each step.
    how: the blur of both images in pixels, and the number of steps.
    """
    from scipy.ndimage import gaussian_filter

    blur, steps = how
    ones, others = (gaussian_filter(small[pairs[:, side]], (0, blur, blur)) for side in (0, 1))
    slopes, grid = np.gradient(ones, axis=(1, 2)), _Grid.of(small.shape[-1])
    for _ in range(steps):
        y, x, inside = grid.moved(moves)
        one, other = _centred(grid.sample(ones, y, x), inside), _centred(others, inside)
        gain = _dot(one, other) / (_dot(one, one) + 1e-6)
        down, right = (grid.sample(slope, y, x) * inside for slope in slopes)
        parts = (down * grid.y + right * grid.x, down * grid.x - right * grid.y, down, right)
        by_move = (np.stack(parts, axis=1).reshape(len(pairs), 4, -1) * gain[:, None, None]).astype(np.float32)
        rest = (other - gain[:, None, None] * one).reshape(len(pairs), -1, 1).astype(np.float32)
        step = np.clip(_solved(by_move, rest), -MAX_STEP, MAX_STEP)
        moves = np.asarray(np.clip(moves + step, -MAX_MOVE, MAX_MOVE), np.float32)
    y, x, inside = grid.moved(moves)
    one, other = _centred(grid.sample(ones, y, x), inside), _centred(others, inside)
    agreement = _dot(one, other) / np.sqrt(_dot(one, one) * _dot(other, other) + 1e-6)
    return moves, np.where(inside.mean(axis=(1, 2)) >= LEAST_OVERLAP, agreement, 0)


def _solved(by_move: Floats, rest: Floats) -> Floats:
    """The step [n, 4] that reduces the rest [n, pixels, 1] most, damped. by_move: its slopes [n, 4, pixels]."""
    squares = by_move @ by_move.transpose(0, 2, 1)
    damping = 1e-3 * np.trace(squares, axis1=1, axis2=2) / 4 + 1e-6
    squares = squares + damping[:, None, None] * np.eye(4, dtype=np.float32)
    return np.asarray(np.linalg.solve(squares, by_move @ rest)[..., 0], np.float32)


def _centred(images: Floats, inside: Floats) -> Floats:
    """The images without their mean inside, and 0 outside."""
    means = (images * inside).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    return np.asarray((images - means[:, None, None]) * inside, np.float32)


def _dot(ones: Floats, others: Floats) -> Floats:
    return np.asarray((ones * others).sum(axis=(1, 2)), np.float32)
