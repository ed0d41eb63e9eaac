import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.duplicates import Hashes, image_hashes, near_pairs, perceptual_hashes, thumbnails


def every_pair(hashes: Hashes, limit: int) -> list[tuple[int, int, int]]:
    bits = np.unpackbits(hashes.view(np.uint8).reshape(len(hashes), -1), axis=1)
    return [
        (a, b, int(distance))
        for a in range(len(bits))
        for b in range(a + 1, len(bits))
        if (distance := (bits[a] != bits[b]).sum()) <= limit
    ]


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 20))
def test_the_near_pairs_are_all_pairs_within_the_limit(seed: int, images: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (4, 256), dtype=np.uint8)[rng.integers(0, 4, images)]  # four kinds, with some bits turned
    bits ^= rng.random(bits.shape) < rng.choice([0, 0.02, 0.05])
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    assert near_pairs(hashes, limit) == every_pair(hashes, limit)


def test_many_equal_images_are_all_pairs_of_each_other() -> None:
    assert len(near_pairs(np.zeros((30, 4), dtype=np.uint64))) == 30 * 29 // 2


@pytest.mark.parametrize("channels", [1, 3])
def test_the_hashes_of_the_images_are_those_of_their_thumbnails(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, channels, 40, 40), dtype=np.uint8)  # three pieces
    np.testing.assert_array_equal(image_hashes(pixels), perceptual_hashes(thumbnails(pixels, 32)))


def test_a_thumbnail_has_the_means_of_its_blocks() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 64, 64), dtype=np.uint8)
    blocks = pixels[:, 0].reshape(3, 16, 4, 16, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(thumbnails(pixels, 16), blocks, rtol=1e-5)
