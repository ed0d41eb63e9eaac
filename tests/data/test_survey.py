from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.decode import decode
from harness.data.duplicates import near_groups, perceptual_hashes
from harness.data.survey import border_shares, pooled, survey


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


def test_a_border_is_rows_and_columns_of_one_level_at_the_edges() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 40, 50)).astype(np.float32)
    noise[1, :4] = 7  # a tenth of the rows
    noise[2, :, -10:] = noise[2, :4] = 0
    noise[3, 10:20] = 0  # not at an edge
    noise[4] = 100  # blank: no border of anything
    np.testing.assert_allclose(border_shares(noise), [0, 0.1, 1 - 0.9 * 0.8, 0, 0], atol=1e-12)
