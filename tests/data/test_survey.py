from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.decode import decode
from harness.data.duplicates import near_groups, perceptual_hashes
from harness.data.survey import pooled, survey


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_told_of_all_images_is_what_is_told_of_each(channels: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(30, 200, (600, channels, 40, 40), dtype=np.uint8)  # three pieces
    labels, told = rng.integers(0, 3, 600), list[int]()
    seen = survey(pixels, labels, lambda done, _: told.append(done))
    gray = pixels.mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(seen.hashes, perceptual_hashes(pooled(gray, 32)))
    np.testing.assert_array_equal(seen.thumbnails, pooled(gray, 16))
    np.testing.assert_array_equal(seen.brightest, pixels.max(axis=(1, 2, 3)))
    ranges = pixels.max(axis=(2, 3)) - pixels.min(axis=(2, 3))
    np.testing.assert_array_equal(seen.spread, ranges.max(axis=1))
    for label in range(3):
        levels = gray[labels == label].round().astype(int).ravel()
        np.testing.assert_array_equal(seen.levels[label], np.bincount(levels, minlength=256))
    assert told == [256, 512, 600]


def test_a_thumbnail_has_the_means_of_its_blocks() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.float32)
    blocks = gray.reshape(3, 16, 4, 16, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(pooled(gray, 16), blocks, rtol=1e-5)


@pytest.mark.parametrize("side", [28, 8])
def test_small_radiographs_match_their_copies_and_no_other(xrays: Path, tmp_path: Path, side: int) -> None:
    files = {file.read_bytes(): file for file in sorted((xrays / "test/PNEUMONIA").iterdir())[:300]}  # no copies
    for index, file in enumerate(files.values()):
        small = Image.open(file).resize((side, side), Image.Resampling.BILINEAR)
        small.save(tmp_path / f"{index:03d}-a.png")
        if side == 28:
            small.save(tmp_path / f"{index:03d}-b.jpg", quality=95)
        else:  # compressed with losses, an image of one block is another
            small.save(tmp_path / f"{index:03d}-b.bmp")
    pixels = np.stack([decode(file, 32) for file in sorted(tmp_path.iterdir())])[:, None]
    groups = near_groups(survey(pixels, np.zeros(len(pixels), dtype=np.int64)).hashes).groups
    np.testing.assert_array_equal(groups, np.repeat(np.arange(0, len(pixels), 2), 2))
