from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.cache import open_pixels, pixel_cache
from harness.data.manifest import Dataset, read_dataset
from harness.models.backbone import Backbone, load_backbone
from harness.settings import Settings
from harness.store import Store
from harness.study import Data
from harness.training.features import frozen_features
from harness.training.inputs import FeatureInputs, PixelInputs
from tests.conftest import PATIENT

CPU = torch.device("cpu")
SETTINGS = Settings(backbone="test_resnet", weights="none", trainable="head", image_size=32)


class Case:
    """An image folder, its pixels, and a backbone that counts how often it is asked for."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.dataset: Dataset = read_dataset(root, Data(source="folder", patient=PATIENT))
        self.pixels = pixel_cache(self.dataset, 32, Store(folder))
        self.folder, self.loaded = folder / "features", 0

    def load(self) -> Backbone:
        self.loaded += 1
        return load_backbone(SETTINGS, seed=0)

    def features(self, split: str = "train", weights: str = "none:0", precision: str = "fp32") -> Path:
        rows = self.dataset.rows(split)
        return frozen_features(SETTINGS, self.load, weights, self.pixels, rows, self.folder, CPU, precision)


@pytest.fixture
def case(image_folder: Path, tmp_path: Path) -> Case:
    return Case(image_folder, tmp_path / "st")


@pytest.mark.parametrize("split", ["train", "test"])
def test_kept_features_equal_a_direct_forward_pass_in_evaluation_mode(case: Case, split: str) -> None:
    kept = np.load(case.features(split))
    backbone = load_backbone(SETTINGS, seed=0).eval()
    inputs = PixelInputs(open_pixels(case.pixels), backbone.mean, backbone.std, CPU)
    with torch.inference_mode():
        direct = backbone(inputs(case.dataset.rows(split))).numpy()
    assert (kept.dtype, kept.shape) == (np.float32, direct.shape)
    np.testing.assert_allclose(kept, direct, rtol=1e-4, atol=1e-5)


def test_a_second_call_does_not_touch_the_backbone(case: Case) -> None:
    first = case.features()
    content = first.read_bytes()
    assert case.features() == first
    assert first.read_bytes() == content
    assert case.loaded == 1
    assert [path.name for path in case.folder.iterdir()] == [first.name]


def test_other_images_weights_or_precision_are_other_features(case: Case) -> None:
    paths = {case.features(), case.features("test"), case.features(weights="none:1"), case.features(precision="bf16")}
    assert len(paths) == case.loaded == 4


def test_features_are_read_by_the_rows_of_the_manifest(case: Case) -> None:
    files = [(0, case.features("train")), (20, case.features("test"))]
    train, test = (np.load(path) for _, path in files)
    inputs = FeatureInputs(files, CPU)
    np.testing.assert_array_equal(inputs(np.array([19, 3, 3])), train[[19, 3, 3]])
    np.testing.assert_array_equal(inputs(np.array([27, 20])), test[[7, 0]])


def test_a_backbone_that_fails_leaves_nothing_behind(case: Case) -> None:
    def broken() -> Backbone:
        raise RuntimeError("out of memory")

    rows = case.dataset.rows("train")
    with pytest.raises(RuntimeError):
        frozen_features(SETTINGS, broken, "none:0", case.pixels, rows, case.folder, CPU, "fp32")
    assert not case.folder.exists()
