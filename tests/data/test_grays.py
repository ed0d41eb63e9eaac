from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.grays import inverted
from harness.data.survey import pooled


@pytest.fixture(scope="module")
def radiographs(xrays: Path) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails of 400 real radiographs, and their classes."""
    files = [file for name in ("NORMAL", "PNEUMONIA") for file in sorted((xrays / "train" / name).iterdir())[:200]]
    images = [np.asarray(Image.open(file).convert("L").resize((32, 32))) for file in files]
    return pooled(np.stack(images).astype(np.float32), 16), np.repeat([0, 1], 200)


def test_no_real_radiograph_looks_inverted(radiographs: tuple[np.ndarray, np.ndarray]) -> None:
    rows, classes = inverted(*radiographs)
    assert (rows.tolist(), classes) == ([], [])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_inverted_radiographs_among_others_are_found(radiographs: tuple[np.ndarray, np.ndarray], share: float) -> None:
    small, labels = radiographs
    planted = np.flatnonzero(np.random.default_rng(0).random(len(small)) < share)
    turned = small.copy()
    turned[planted] = 255 - turned[planted]
    rows, classes = inverted(turned, labels)
    assert len(set(rows) & set(planted)) >= 0.95 * len(planted) > 0
    assert set(rows) <= set(planted)
    assert classes == []


def test_a_class_that_is_inverted_as_a_whole_is_found(radiographs: tuple[np.ndarray, np.ndarray]) -> None:
    small, labels = radiographs
    turned = np.where((labels == 1)[:, None, None], 255 - small, small)
    rows, classes = inverted(turned, labels)
    assert (rows.tolist(), classes) == ([], [(0, 1)])


def test_of_images_without_a_common_look_nothing_is_said() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 16, 16)).astype(np.float32)
    rows, classes = inverted(noise, np.repeat([0, 1], 100))
    assert (rows.tolist(), classes) == ([], [])
