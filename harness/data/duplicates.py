"""Identical and nearly identical images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import Rows
from harness.data.decode import Progress
from harness.data.orientations import oriented

HASHED_SIZE = 32  # pixels: the side of the thumbnails that are hashed
HASH_SIDE = 16  # 255 bits: on 5,840 chest radiographs the closest two different images differ in 40 of them
MAX_BITS = 16  # that nearly identical images differ in; recompressed or slightly rescaled copies stay below
MAX_COMPARISONS = 1000  # of an image, with others that share one part of its bits

Thumbnails = NDArray[np.float32]  # [n, side, side]
Hashes = NDArray[np.uint64]  # [n, 4], or [n, ways, 4]
Keys = NDArray[np.uint64]  # [n]


def exact_groups(table: pd.DataFrame) -> list[list[int]]:
    """The rows of every group of two or more byte-identical files."""
    groups = table.groupby("sha256", sort=False).indices.values()
    return [[int(row) for row in rows] for rows in groups if len(rows) > 1]


def perceptual_hashes(small: Thumbnails) -> Hashes:
    """Hashes [n, ways, 4] of 255 bits: which low frequencies of the cosine transform are above their median (pHash).

    small: [n, 32, 32]. The hashes of an image are of it in each of WAYS, first as it is.
    """
    from scipy.fft import dctn

    low = dctn(small, axes=(1, 2))[:, :HASH_SIDE, :HASH_SIDE]
    return np.stack([_hashed(turned.reshape(len(low), -1)[:, 1:]) for turned in oriented(low)], axis=1)


def _hashed(low: NDArray[np.float32]) -> Hashes:
    """The hashes [n, 4] of coefficients [n, 255], without the mean."""
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1).view(np.uint64)


class NearPair(NamedTuple):
    """Two rows that are nearly identical, and in which of WAYS; the first way is: as they are."""

    row: int
    other: int
    way: int = 0


@dataclass(frozen=True)
class NearDuplicates:
    """Groups of rows that are nearly identical.

    groups: [n], the group of each row: the number of its first row. A group is a connected component: its rows are near
    each other directly or through others.
    pairs: near rows that span the groups, as few as possible: if rows of a group differ in something, so does a pair.
    complete: whether all rows that might be near were compared.
    """

    groups: Rows
    pairs: list[NearPair]
    complete: bool


def near_groups(
    hashes: Hashes, progress: Progress = lambda *_: None, limit: int = MAX_BITS, comparisons: int = MAX_COMPARISONS
) -> NearDuplicates:
    """Group the rows of which one in any way differs from the other as it is in at most `limit` bits.

    hashes: [n, ways, words]. A row is not compared with itself: an image may be symmetric.

    With the bits divided into limit + 1 parts, two near rows agree in at least one part (pigeonhole principle). So only
    rows that agree in a part are compared, and only until they are in one group: first each with one other, which
    already groups thousands of frames of one scene, then with all. The bits of the parts are shuffled (with a fixed
    seed), as neighbouring frequencies tend to agree.
    """
    _, first, of = np.unique(hashes[:, 0], axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # equal hashes count as one row, in the order of their first rows
    first, of = first[order], np.argsort(order)[of.ravel()]
    plain, *_ = of_ways = np.ascontiguousarray(hashes[first].swapaxes(0, 1))  # [ways, n, words]
    columns = np.random.default_rng(0).permutation(64 * hashes.shape[2])
    columns_of_parts = np.array_split(columns, limit + 1)
    forest, parts = _Forest(plain, limit), [_Part(keys) for keys in _keys(plain, columns_of_parts)]
    for part in parts:
        part.compare(forest, plain, part.keys, 0, 1)
    complete = True
    for way, turned in enumerate(of_ways):
        for part, keys in zip(parts, _keys(turned, columns_of_parts), strict=True):
            complete &= part.compare(forest, turned, keys, way, comparisons)
        progress(len(hashes) * (way + 1) // len(of_ways), len(hashes))
    others = np.flatnonzero(first[of] != np.arange(len(of)))
    equal = map(NearPair, first[of[others]].tolist(), others.tolist())
    pairs = [NearPair(int(first[one]), int(first[other]), way) for one, other, way in forest.pairs]
    return NearDuplicates(first[forest.roots[of]], sorted([*equal, *pairs]), complete)


def _keys(hashes: Hashes, parts: list[Rows]) -> Iterator[Keys]:
    """Yield a key for every row, [n], of each part of the bits; where the bits are equal, so are the keys."""
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    for part in parts:
        packed = np.packbits(bits[:, part], axis=1)
        whole = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
        yield np.bitwise_xor.reduce(np.ascontiguousarray(whole).view(np.uint64), axis=1)


class _Forest:
    """Union-find over rows: every group is a tree of near pairs. roots: [n], the first row of each row's group."""

    def __init__(self, hashes: Hashes, limit: int) -> None:
        self.roots = np.arange(len(hashes))
        self.pairs: list[NearPair] = []
        self._hashes, self._limit = hashes, limit

    def join(self, turned: Hashes, rows: Rows, others: Rows, way: int) -> None:
        """Join the groups of every row and the other row at the same position, where the two are near.

        turned: the hashes of the rows in this way.
        """
        new = self.roots[rows] != self.roots[others]
        rows, others = rows[new], others[new]
        apart = np.bitwise_count(turned[rows] ^ self._hashes[others]).sum(axis=1)
        near = apart <= self._limit
        above: dict[int, int] = {}  # root -> the root of the group that it joined
        for pair in zip(rows[near].tolist(), others[near].tolist(), strict=True):
            low, high = sorted(_top(int(self.roots[row]), above) for row in pair)
            if low != high:
                above[high] = low
                self.pairs.append(NearPair(min(pair), max(pair), way))
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


class _Part:
    """The rows by their keys of one part of the bits. keys: [n]."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._values, codes = np.unique(keys, return_inverse=True)
        self._codes = codes.astype(np.int64)

    def compare(self, forest: _Forest, turned: Hashes, keys: Keys, way: int, comparisons: int) -> bool:
        """Compare rows in this way with rows of other groups that have their key, each with at most `comparisons`.

        turned, keys: hashes and keys of the rows in this way. Returns False if some are left.

        Rows are sorted by key and group; each is compared with those from the end of its group to the end of its key.
        Those before it are compared with it: as each way back is a way, that is the same.
        """
        count, roots = len(self._codes), forest.roots
        places = self._codes * count + roots
        order = np.argsort(places, kind="stable")
        places = places[order]
        code = np.searchsorted(self._values, keys)
        here = np.flatnonzero(self._values[np.minimum(code, len(self._values) - 1)] == keys)
        there = np.searchsorted(places, code[here] * count + roots[here], side="right")
        last = np.searchsorted(places, (code[here] + 1) * count)
        for _ in range(comparisons):
            left = there < last
            here, there, last = here[left], there[left], last[left]
            if not here.size:
                break
            forest.join(turned, here, order[there], way)
            there = there + 1
        return not (there < last).any()
