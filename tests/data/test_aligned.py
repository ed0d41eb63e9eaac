"""Slightly turned, resized and cropped copies are found, and different images are not taken for copies."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from harness.data.aligned import aligned_pairs
from harness.data.survey import pooled

Change = Callable[[Image.Image], Image.Image]


def cropped(image: Image.Image, share: float) -> Image.Image:
    """The image without this share of its width and height, at the left and above, at the size that it had."""
    width, height = image.size
    box = (round(width * share), round(height * share), width, height)
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)


MOVED: dict[str, Change] = {
    "turned": lambda image: image.rotate(3, resample=Image.Resampling.BICUBIC),
    "cropped": lambda image: cropped(image, 0.06),
    "cropped and brighter": lambda image: ImageEnhance.Brightness(cropped(image, 0.04)).enhance(1.2),
}


def small(images: list[Image.Image]) -> np.ndarray:
    return np.concatenate([pooled(np.asarray(image, np.float32)[None], 32) for image in images])


@pytest.fixture(scope="module")
def radiographs(xrays: Path) -> list[Image.Image]:
    """The first radiograph of each of many patients."""
    files = sorted((xrays / "train" / "NORMAL").glob("IM-*-0001.jpeg"))[:160]
    return [Image.open(file).convert("L") for file in files]


@pytest.mark.parametrize("change", MOVED.values(), ids=MOVED)
def test_moved_copies_of_radiographs_are_found_and_no_two_different_ones(
    radiographs: list[Image.Image], change: Change
) -> None:
    copies, count = [change(image) for image in radiographs[:40]], len(radiographs)
    found, compared = aligned_pairs(small([*radiographs, *copies]))
    pairs = {(pair.row, pair.other) for pair in found}
    planted = {(row, count + row) for row in range(40)}
    assert len(pairs & planted) >= 35
    assert pairs <= planted, "different radiographs are not alike"
    assert len(pairs) < compared < 3 * (count + 40)


def test_one_image_has_no_neighbour() -> None:
    assert aligned_pairs(np.random.default_rng(0).random((1, 32, 32), np.float32)) == ([], 0)


FIND = """
import sys
import numpy as np
from harness.data.aligned import aligned_pairs
found = aligned_pairs(np.load(sys.argv[1]))[0]
np.save(sys.argv[2], np.array([tuple(pair) for pair in sorted(found)]))
"""


def test_the_arithmetic_of_other_processors_finds_the_same_pairs(
    radiographs: list[Image.Image], tmp_path: Path
) -> None:
    np.save(tmp_path / "small.npy", small([*radiographs[:40], *map(MOVED["turned"], radiographs[:12])]))
    found = []
    for number, core in enumerate((None, "Nehalem", "Haswell")):  # of OpenBLAS; the oldest has no fused multiply-add
        environment = os.environ | ({"OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": "2"} if core else {})
        place = tmp_path / f"{number}.npy"
        subprocess.run([sys.executable, "-c", FIND, tmp_path / "small.npy", place], check=True, env=environment)
        found.append(np.load(place))
    for other in found[1:]:
        assert other[:, :2].tolist() == found[0][:, :2].tolist()
        np.testing.assert_allclose(other[:, 2], found[0][:, 2], atol=1e-6, rtol=0)
