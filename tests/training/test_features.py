import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.dataset import Dataset
from harness.data.manifest import read_dataset
from harness.data.pixels import open_pixels, pixel_cache
from harness.errors import HarnessError
from harness.models.backbone import Backbone, load_backbone
from harness.models.heads import Reads
from harness.store import Store
from harness.study.allowed import Pool
from harness.study.data_block import Data
from harness.study.settings import ResolvedSettings
from harness.training.device import Arithmetic
from harness.training.features import CachedFeatures, FrozenBackbone, frozen_features
from harness.training.loaders import FeatureLoader, PixelLoader, ResidentFeatures
from tests.conftest import PATIENT

CPU = torch.device("cpu")
SETTINGS = ResolvedSettings(backbone="test_resnet", weights="none", trainable="head", image_size=32)


class Case:
    """An image folder, its pixels, and a backbone that counts how often it is asked for."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.dataset: Dataset = read_dataset(root, Data(source="folder", patient=PATIENT))
        self.pixels = pixel_cache(self.dataset, 32, Store(folder))
        self.folder, self.loaded = folder / "features", 0

    def load(self) -> Backbone:
        self.loaded += 1
        return load_backbone(SETTINGS, seed=0)

    def features(self, split: str = "train", weights: str = "none:0", precision: str = "fp32") -> CachedFeatures:
        backbone, rows = FrozenBackbone(SETTINGS, weights, self.load), self.dataset.rows(split)
        return frozen_features(backbone, self.pixels, rows, self.folder, Arithmetic(CPU, precision))

    @property
    def cached(self) -> list[Path]:
        """The folders of cached features."""
        return [path for path in self.folder.glob("*") if path.is_dir()]


@pytest.fixture
def case(image_folder: Path, tmp_path: Path) -> Case:
    return Case(image_folder, tmp_path / "st")


@pytest.mark.parametrize("split", ["train", "test"])
def test_cached_features_equal_a_direct_forward_pass_in_evaluation_mode(case: Case, split: str) -> None:
    (file,) = case.features(split).files
    assert file.moments is not None
    maps, moments = np.load(file.maps), np.load(file.moments)
    backbone = load_backbone(SETTINGS, seed=0).eval()
    loader = PixelLoader(open_pixels(case.pixels), backbone.mean, backbone.std, CPU)
    with torch.inference_mode():
        direct = backbone(*loader([case.dataset.rows(split)])).numpy()
    assert (maps.dtype, maps.shape) == (np.float32, direct.shape)
    np.testing.assert_allclose(maps, direct, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments[:, 0], maps.mean(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moments[:, 1], maps.var(axis=(2, 3)), rtol=1e-4, atol=1e-6)


def test_every_image_goes_through_the_backbone_once_and_never_again(case: Case) -> None:
    cold, warm = case.features(), case.features()
    assert (cold.passes, warm.passes) == (len(case.dataset.rows("train")), 0)
    assert warm.files == cold.files
    assert case.loaded == 1
    about = json.loads((cold.files[0].maps.parent / "about.json").read_text())
    assert about["passes"] == about["images"] == cold.passes
    assert about["backbone"] == "test_resnet"


def test_of_two_that_want_the_same_features_one_waits_for_the_other(case: Case) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: case.features(), range(4)))
    assert case.loaded == 1
    assert sorted(features.passes for features in found) == [0, 0, 0, 20]


def test_other_images_weights_or_precision_are_other_features(case: Case) -> None:
    found = [case.features(), case.features("test"), case.features(weights="none:1"), case.features(precision="bf16")]
    assert len({features.files for features in found}) == len(case.cached) == case.loaded == 4


@pytest.mark.parametrize("form", ["maps", "moments", "means"])
def test_features_are_read_by_the_rows_of_the_manifest(case: Case, form: Reads) -> None:
    files = [*case.features("train").files, *case.features("test").files]
    assert [file.first for file in files] == [0, 20]
    loader = FeatureLoader(files, CPU, lambda: form)
    expected = [np.load(file.maps if form == "maps" or not file.moments else file.moments) for file in files]
    if form == "means":
        expected = [moments[:, 0] for moments in expected]
    np.testing.assert_array_equal(next(loader([np.array([19, 3, 3])])), expected[0][[19, 3, 3]])
    np.testing.assert_array_equal(next(loader([np.array([27, 20])])), expected[1][[7, 0]])
    whole = ResidentFeatures(files[1], CPU)
    rows = torch.tensor([[27, 20], [21, 21]])
    np.testing.assert_array_equal(whole.rows(rows, form), expected[1][rows.numpy() - 20])


def test_several_pools_cost_one_pass_and_vectors_are_cached_alone(case: Case) -> None:
    pools: frozenset[Pool] = frozenset({"map", "avg", "max"})
    rows = case.dataset.rows("train")

    def features(pool: Pool) -> CachedFeatures:
        backbone = FrozenBackbone(SETTINGS.model_copy(update={"pool": pool}), "none:0", case.load, pools)
        return frozen_features(backbone, case.pixels, rows, case.folder, Arithmetic(CPU, "fp32"))

    mean, most, maps = features("avg"), features("max"), features("map")
    assert [mean.passes, most.passes, maps.passes, case.loaded] == [20, 0, 0, 1]
    assert maps.files == case.features().files, "maps are cached as before"
    whole, vectors = np.load(maps.files[0].maps), np.load(mean.files[0].maps)
    assert vectors.shape == (20, whole.shape[1], 1, 1)
    np.testing.assert_allclose(vectors[..., 0, 0], whole.mean(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(np.load(most.files[0].maps)[..., 0, 0], whole.max(axis=(2, 3)), rtol=1e-5)
    assert {path.name for path in mean.files[0].maps.parent.iterdir()} == {"about.json", "maps.npy"}
    loader = FeatureLoader(mean.files, CPU, lambda: "moments")
    np.testing.assert_array_equal(
        next(loader([np.array([3])])), np.stack([vectors[3:4, :, 0, 0], 0 * vectors[3:4, :, 0, 0]], axis=1)
    )
    np.testing.assert_array_equal(
        next(FeatureLoader(mean.files, CPU, lambda: "means")([np.array([3])])), vectors[3:4, :, 0, 0]
    )


def test_a_backbone_that_fails_leaves_nothing_behind(case: Case) -> None:
    def broken() -> Backbone:
        raise RuntimeError("out of memory")

    rows = case.dataset.rows("train")
    with pytest.raises(RuntimeError):
        frozen_features(
            FrozenBackbone(SETTINGS, "none:0", broken), case.pixels, rows, case.folder, Arithmetic(CPU, "fp32")
        )
    assert not case.folder.exists()
    assert case.features().passes == 20


def test_features_beyond_the_limit_are_refused_before_they_are_computed(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.features()
    (cached,) = case.cached
    size = sum(path.stat().st_size for path in cached.iterdir())
    monkeypatch.setenv("HARNESS_CACHE_GIB", str(1.1 * size / 2**30))
    with pytest.raises(HarnessError, match=r"test_resnet for 8 images take .* GiB: .*`harness cache --clear features`"):
        case.features("test")
    assert case.cached == [cached]
    assert case.features().passes == 0, "cached features are read"
    monkeypatch.setenv("HARNESS_CACHE_GIB", "much")
    with pytest.raises(HarnessError, match="HARNESS_CACHE_GIB=much: expected a number of GiB, such as 100"):
        case.features("test")
    monkeypatch.setenv("HARNESS_CACHE_GIB", str(3 * size / 2**30))
    assert case.features("test").passes == 8


def test_features_of_another_gpu_model_are_not_read(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NVIDIA H100", "NVIDIA A100", "NVIDIA H100"):
        monkeypatch.setattr("harness.training.features.device_name", lambda _, name=name: name)
        case.features()
    assert case.loaded == len(case.cached) == 2
