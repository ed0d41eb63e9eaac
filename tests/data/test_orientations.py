from collections.abc import Callable

import numpy as np
import pytest

from harness.data.duplicates import near_groups, perceptual_hashes
from harness.data.orientations import WAYS

TURNED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda image: image,
    "mirrored": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "turned by 90 degrees": np.rot90,
    "turned by 180 degrees": lambda image: np.rot90(image, 2),
    "mirrored and turned by 90 degrees": np.transpose,
}


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Pictures [count, 32, 32] with most of their variation in low frequencies, as photographs have."""
    noise = np.random.default_rng(seed).normal(size=(count, 32, 32)).astype(np.float32)
    return np.asarray(128 + 40 * np.cumsum(np.cumsum(noise, axis=1), axis=2) / 32)


def ways_found(images: np.ndarray) -> list[tuple[int, int, str]]:
    return [(pair.row, pair.other, WAYS[pair.way]) for pair in near_groups(perceptual_hashes(images)).pairs]


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("back", [False, True])  # which of the two is the original: 90 degrees are 270 the other way
def test_a_copy_is_found_in_every_way_and_named(name: str, inverted: bool, back: bool) -> None:
    image = pictures(1)[0]
    copy = TURNED[name](255 - image if inverted else image)
    copy = copy + np.random.default_rng(1).normal(0, 0.1, copy.shape).astype(np.float32)
    pair = (copy, image) if back else (image, copy)
    images = np.stack([*pictures(20, seed=2), pair[0], *pictures(20, seed=3), pair[1]])
    assert ways_found(images) == [(20, 41, " and ".join(filter(None, (name, "inverted" * inverted))))]


def test_there_is_a_way_for_each_orientation_of_the_image_and_of_its_negative() -> None:
    image = pictures(1)[0]
    turned = [np.rot90(side, times) for side in (image, image.T) for times in range(4)]
    plain = perceptual_hashes(np.stack([*turned, *(-each for each in turned)]))[:, 0]
    ways = perceptual_hashes(image[None])[0]
    apart = np.bitwise_count(plain[:, None] ^ ways[None]).sum(axis=2)
    assert sorted(apart.argmin(axis=0)) == list(range(16)) == sorted(apart.argmin(axis=1))
    assert apart.min(axis=0).max() <= 2


def test_a_symmetric_image_is_no_duplicate_of_itself_nor_of_another_one() -> None:
    images = pictures(30)
    images += images[:, :, ::-1]
    images += images[:, ::-1]
    assert ways_found(images) == []
