from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.data.grays import gray_findings, inverted
from harness.data.manifest import read_dataset
from harness.data.survey import pooled, survey
from harness.study.data_block import Data


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


@pytest.mark.parametrize(("brighter", "expected"), [(0, None), (40, ["North", "South"])])
def test_sites_whose_images_are_brighter_are_named(tmp_path: Path, brighter: int, expected: list[str] | None) -> None:
    rng, rows, images = np.random.default_rng(0), [], []
    for number in range(90):
        site = ("North", "South", "West")[number % 3 if number < 80 else 0]
        image = rng.integers(60, 120) + (brighter if site == "South" else 0) + rng.integers(0, 40, (32, 32))
        if site == "West" and number > 50:  # too few are left to say how bright they are
            continue
        images.append(image.astype(np.uint8))
        Image.fromarray(images[-1]).save(tmp_path / f"{number:02}.png")
        rows.append({"image": f"{number:02}.png", "label": "AB"[number % 2], "site": site})
    pd.DataFrame(rows).to_csv(tmp_path / "cases.csv", index=False)
    spec = Data(source="table", path=str(tmp_path / "cases.csv"), root=str(tmp_path), metadata=["site"])
    dataset = read_dataset(tmp_path, spec)
    seen = survey(np.stack(images)[:, None], dataset.labels)
    found = {each.name: each for each in gray_findings(dataset, seen, pd.Series(["L"] * len(images)))}
    assert ("levels-by-site" in found) == (expected is not None) and "levels-by-class" not in found
    if expected:
        finding = found["levels-by-site"]
        assert list(finding.facts["means"]) == expected
        north, south = finding.facts["means"].values()
        sites = dataset.table["site"].to_numpy()
        true = [
            np.mean([image.mean() for image, of in zip(images, sites, strict=True) if of == name]) for name in expected
        ]
        np.testing.assert_allclose([north, south], true, atol=0.01)
        assert f"mean gray levels differ between the values of site: {north:.0f} in North" in finding.text
