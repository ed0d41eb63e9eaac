import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.duplicates import Hashes, NearDuplicates, near_groups


def hashes_of(bits: np.ndarray) -> Hashes:
    """Hashes [n, 2, 4] of bits [n, 256]: each row as it is, and turned so that its bits are the other way around."""
    return np.stack([np.packbits(each, axis=1).view(np.uint64) for each in (bits, bits[:, ::-1])], axis=1)


def distances(hashes: Hashes) -> np.ndarray:
    """The least number of bits in which two rows differ in any way, [n, n]."""
    return np.asarray(np.bitwise_count(hashes[:, None] ^ hashes[None, :, :1]).sum(axis=-1).min(axis=-1))


def hold(found: NearDuplicates, near: np.ndarray) -> None:
    """Asserts that the groups are those of the rows that are near each other, and that their pairs hold them."""
    first = list(range(len(near)))  # of the group of each row, by the plainest way
    for _ in first:
        first = [min(first[other] for other in np.flatnonzero(row)) for row in near]
    assert found.groups.tolist() == first
    assert all(near[pair.row, pair.other] for pair in found.pairs)
    joined = np.eye(len(near), dtype=bool)
    for a, b, _ in found.pairs:
        joined[[a, b], [b, a]] = True
    assert (np.linalg.matrix_power(joined.astype(float), len(near)) > 0).sum() == sum(
        first.count(root) for root in first
    )
    assert len(found.pairs) == len(near) - len(set(first))


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(0, 20))
def test_the_groups_are_those_of_all_pairs_within_the_limit(seed: int, images: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (4, 256), dtype=np.uint8)[rng.integers(0, 4, images)]  # four kinds, with some bits turned
    bits ^= rng.random(bits.shape) < rng.choice([0, 0.02, 0.05])
    turned = rng.random(images) < 0.3
    bits[turned] = bits[turned, ::-1]
    hashes = hashes_of(bits)
    found = near_groups(hashes, limit=limit)
    assert found.complete
    hold(found, distances(hashes) <= limit)


def test_what_differs_within_a_group_differs_within_a_pair_of_it() -> None:
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (5, 256), dtype=np.uint8), 40, axis=0)
    bits ^= rng.random(bits.shape) < 0.02
    found = near_groups(hashes_of(bits))
    assert len(set(found.groups.tolist())) == 5
    for seed in range(20):
        mark = np.random.default_rng(seed).integers(0, 50, 200) == 0  # a few rows, such as those of the test set
        mixed = {int(root) for root in found.groups if len(set(mark[found.groups == root])) > 1}
        assert {int(found.groups[a]) for a, b, _ in found.pairs if mark[a] != mark[b]} == mixed


def test_thousands_of_frames_of_one_scene_are_one_group() -> None:
    """All pairs of them, two thousand million, would fit into no memory."""
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (1, 256), dtype=np.uint8), 60_000, axis=0)
    bits ^= rng.random(bits.shape, dtype=np.float32) < 0.01
    bits[:30_000] = bits[0]
    found = near_groups(hashes_of(bits))
    assert set(found.groups.tolist()) == {0}
    assert len(found.pairs) == 59_999


@pytest.mark.parametrize(("reach", "complete"), [(1, False), (100, True)])
def test_where_not_all_were_compared_that_might_be_near_it_says_so(reach: int, complete: bool) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (30, 256), dtype=np.uint8)
    bits[:, ::2] = 0  # all agree in some part, and are not near
    told = list[int]()
    found = near_groups(hashes_of(bits), lambda done, _: told.append(done), limit=40, comparisons=reach)
    assert told == [15, 30]
    assert found.complete is complete
    assert found.pairs == []


def test_no_image_at_all_is_no_group() -> None:
    assert near_groups(np.empty((0, 2, 4), dtype=np.uint64)).pairs == []
