"""Identical and nearly identical images."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import Rows
from harness.data.decode import Progress

HASHED_SIZE = 32  # pixels: the side of the thumbnails that are hashed
HASH_SIDE = 16  # 255 bits: on 5,840 chest radiographs the closest two different images differ in 40 of them
MAX_BITS = 16  # that nearly identical images differ in; recompressed or slightly rescaled copies stay below
MAX_COMPARISONS = 1000  # of an image, with others that share one part of its bits

Thumbnails = NDArray[np.float32]  # [n, side, side]
Hashes = NDArray[np.uint64]  # [n, 4]
RowPair = tuple[int, int]


def exact_groups(table: pd.DataFrame) -> list[list[int]]:
    """The rows of every group of two or more byte-identical files."""
    groups = table.groupby("sha256", sort=False).indices.values()
    return [[int(row) for row in rows] for rows in groups if len(rows) > 1]


def perceptual_hashes(small: Thumbnails) -> Hashes:
    """Hashes [n, 4] of 255 bits: which low frequencies of the cosine transform are above their median (pHash).

    small: [n, 32, 32].
    """
    from scipy.fft import dctn

    low = dctn(small, axes=(1, 2))[:, :HASH_SIDE, :HASH_SIDE].reshape(len(small), -1)[:, 1:]  # without the mean
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1).view(np.uint64)


@dataclass(frozen=True)
class NearDuplicates:
    """Groups of rows that are nearly identical.

    groups: [n], the group of each row: the number of its first row. A group is a connected component: its rows are near
    each other directly or through others.
    pairs: near rows that span the groups, as few as possible: if rows of a group differ in something, so does a pair.
    complete: whether all rows that might be near were compared.
    """

    groups: Rows
    pairs: list[RowPair]
    complete: bool


def near_groups(
    hashes: Hashes, progress: Progress = lambda *_: None, limit: int = MAX_BITS, comparisons: int = MAX_COMPARISONS
) -> NearDuplicates:
    """Group the rows whose hashes differ in at most `limit` bits.

    With the bits divided into limit + 1 parts, two near rows agree in at least one part (pigeonhole principle). So only
    rows that agree in a part are compared, and only until they are in one group: first each with one other, which
    already groups thousands of frames of one scene, then with all. The bits of the parts are shuffled (with a fixed
    seed), as neighbouring frequencies tend to agree.
    """
    unique, first, of = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # equal hashes count as one row, in the order of their first rows
    unique, first, of = unique[order], first[order], np.argsort(order)[of.ravel()]
    forest = _Forest(unique, limit)
    bits = np.unpackbits(unique.view(np.uint8).reshape(len(unique), 8 * hashes.shape[1]), axis=1)
    columns = np.random.default_rng(0).permutation(bits.shape[1])
    parts = [_keys(bits[:, part]) for part in np.array_split(columns, limit + 1)]
    for keys in parts:
        _compare(forest, keys, 1)
    complete = True
    for number, keys in enumerate(parts, 1):
        complete &= _compare(forest, keys, comparisons)
        progress(len(hashes) * number // len(parts), len(hashes))
    others = np.flatnonzero(first[of] != np.arange(len(of)))
    equal = zip(first[of[others]].tolist(), others.tolist(), strict=True)
    pairs = [(int(first[one]), int(first[other])) for one, other in forest.pairs]
    return NearDuplicates(first[forest.roots[of]], sorted([*equal, *pairs]), complete)


def _keys(bits: NDArray[np.uint8]) -> Rows:
    """A number for every row of bits; equal rows get the same one."""
    packed = np.ascontiguousarray(np.packbits(bits, axis=1))
    return np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1].astype(np.int64)


class _Forest:
    """Union-find over rows: every group is a tree of near pairs. roots: [n], the first row of each row's group."""

    def __init__(self, hashes: Hashes, limit: int) -> None:
        self.roots = np.arange(len(hashes))
        self.pairs: list[RowPair] = []
        self._hashes, self._limit = hashes, limit

    def join(self, rows: Rows, others: Rows) -> None:
        """Join the groups of every row and the other row at the same position, where the two are near."""
        new = self.roots[rows] != self.roots[others]
        rows, others = rows[new], others[new]
        apart = np.bitwise_count(self._hashes[rows] ^ self._hashes[others]).sum(axis=1)
        near = apart <= self._limit
        above: dict[int, int] = {}  # root -> the root of the group that it joined
        for pair in zip(rows[near].tolist(), others[near].tolist(), strict=True):
            low, high = sorted(_top(int(self.roots[row]), above) for row in pair)
            if low != high:
                above[high] = low
                self.pairs.append((min(pair), max(pair)))
        if above:
            tops = np.arange(len(self.roots))
            tops[list(above)] = [_top(root, above) for root in above]
            self.roots = tops[self.roots]


def _top(root: int, above: dict[int, int]) -> int:
    """The root of a group after its joins, with path compression."""
    path = []
    while root in above:
        path.append(root)
        root = above[root]
    above.update(dict.fromkeys(path, root))
    return root


def _compare(forest: _Forest, keys: Rows, comparisons: int) -> bool:
    """Compare rows with equal keys in different groups, each with at most `comparisons` others; False if some are left.

    The rows are sorted by key and group; each is compared with those from the end of its group to the end of its key.
    """
    order = np.lexsort((forest.roots, keys))
    key, root = keys[order], forest.roots[order]
    last, following = _ends(key), _ends(key, root)
    here = np.flatnonzero(following < last)
    there = following[here]
    for _ in range(comparisons):
        if not here.size:
            break
        forest.join(order[here], order[there])
        left = there + 1 < last[here]
        here, there = here[left], there[left] + 1
    return not here.size


def _ends(*columns: Rows) -> Rows:
    """For every row of sorted columns, the row at which the next value begins."""
    changed = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    ends = np.append(np.flatnonzero(changed) + 1, len(columns[0]))
    return np.asarray(ends[np.concatenate([[0], np.cumsum(changed)])])
