"""Images that are the same, or as good as the same."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.decode import Progress
from harness.data.manifest import Rows

HASHED_AT = 32  # pixels: the side of the thumbnails that are hashed
HASH_SIDE = 16  # 255 bits: on 5,840 chest radiographs the nearest two different images differ in 40 of them
NEAR = 16  # bits; recompressed or slightly rescaled copies stay below
REACH = 1000  # images, at most, that one is compared with of those that agree with it in a part of the bits

Thumbnails = NDArray[np.float32]  # [n, side, side]
Hashes = NDArray[np.uint64]  # [n, 4]
Pair = tuple[int, int]


def exact_groups(table: pd.DataFrame) -> list[list[int]]:
    """The rows of every group of byte-identical files of two or more."""
    groups = table.groupby("sha256", sort=False).indices.values()
    return [[int(row) for row in rows] for rows in groups if len(rows) > 1]


def perceptual_hashes(small: Thumbnails) -> Hashes:
    """Hashes [n, 4] of 255 bits: which low frequencies of the cosine transform lie above their median (pHash).

    small: [n, 32, 32].
    """
    from scipy.fft import dctn

    low = dctn(small, axes=(1, 2))[:, :HASH_SIDE, :HASH_SIDE].reshape(len(small), -1)[:, 1:]  # without the mean
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1).view(np.uint64)


@dataclass(frozen=True)
class Near:
    """The groups of rows that are as good as the same.

    groups: [n]; near rows, and those that near rows lead to, have the same number, that of their first row.
    pairs: near rows, as few as hold the groups together: what differs within a group differs within a pair of it.
    complete: all rows were compared that might be near.
    """

    groups: Rows
    pairs: list[Pair]
    complete: bool


def near_groups(hashes: Hashes, progress: Progress = lambda *_: None, limit: int = NEAR, reach: int = REACH) -> Near:
    """The groups of rows that are at most `limit` bits apart.

    Of limit + 1 parts of the bits two near rows have at least one in common, so only rows that agree in a part are
    compared, and only until they are in one group: first each with one other, by which thousands of frames of one
    scene become a group, then with all. Which bits make a part is drawn once, as neighbouring frequencies tend to
    agree.
    """
    unique, first, of = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # equal hashes are one row here, in the order of their first rows
    unique, first, of = unique[order], first[order], np.argsort(order)[of.ravel()]
    forest = _Forest(unique, limit)
    bits = np.unpackbits(unique.view(np.uint8).reshape(len(unique), 8 * hashes.shape[1]), axis=1)
    columns = np.random.default_rng(0).permutation(bits.shape[1])
    parts = [_keys(bits[:, part]) for part in np.array_split(columns, limit + 1)]
    for keys in parts:
        _compare(forest, keys, 1)
    complete = True
    for number, keys in enumerate(parts, 1):
        complete &= _compare(forest, keys, reach)
        progress(len(hashes) * number // len(parts), len(hashes))
    others = np.flatnonzero(first[of] != np.arange(len(of)))
    equal = zip(first[of[others]].tolist(), others.tolist(), strict=True)
    pairs = [(int(first[one]), int(first[other])) for one, other in forest.pairs]
    return Near(first[forest.roots[of]], sorted([*equal, *pairs]), complete)


def _keys(bits: NDArray[np.uint8]) -> Rows:
    """A number for every row of bits, the same for equal ones."""
    packed = np.ascontiguousarray(np.packbits(bits, axis=1))
    return np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1].astype(np.int64)


class _Forest:
    """Groups of rows, each held together by a tree of near pairs. roots: [n], the first row of the group of each."""

    def __init__(self, hashes: Hashes, limit: int) -> None:
        self.roots = np.arange(len(hashes))
        self.pairs: list[Pair] = []
        self._hashes, self._limit = hashes, limit

    def join(self, rows: Rows, others: Rows) -> None:
        """Makes one group of the groups of every row and the other beside it, where the two are near."""
        new = self.roots[rows] != self.roots[others]
        rows, others = rows[new], others[new]
        apart = np.bitwise_count(self._hashes[rows] ^ self._hashes[others]).sum(axis=1)
        near = apart <= self._limit
        above: dict[int, int] = {}  # a root, and that of the group which it joined
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
    """The root of a group after its joins; the way there is made shorter."""
    way = []
    while root in above:
        way.append(root)
        root = above[root]
    above.update(dict.fromkeys(way, root))
    return root


def _compare(forest: _Forest, keys: Rows, reach: int) -> bool:
    """Compares the rows of equal keys and different groups, each with `reach` others at most; False if more were left.

    Sorted by key and group, a row is compared with those from the end of its group to the end of its key.
    """
    order = np.lexsort((forest.roots, keys))
    key, root = keys[order], forest.roots[order]
    last, following = _ends(key), _ends(key, root)
    here = np.flatnonzero(following < last)
    there = following[here]
    for _ in range(reach):
        if not here.size:
            break
        forest.join(order[here], order[there])
        left = there + 1 < last[here]
        here, there = here[left], there[left] + 1
    return not here.size


def _ends(*columns: Rows) -> Rows:
    """For every row of sorted columns, the row at which the next values begin."""
    changed = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    ends = np.append(np.flatnonzero(changed) + 1, len(columns[0]))
    return np.asarray(ends[np.concatenate([[0], np.cumsum(changed)])])
