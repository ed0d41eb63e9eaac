from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.data.dataset import Dataset
from harness.data.manifest import read_dataset
from harness.data.phantom import draw, phantom_folder
from harness.data.pixels import open_pixels, pixel_cache
from harness.store import Store
from harness.study.data_block import Data, Phantom

SMALL = Phantom(train=24, test=12, seed=3)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, NDArray[np.uint8]]:
    """The dataset as it is unless told otherwise, and its images at 80 px."""
    store, spec = Store(tmp_path_factory.mktemp("phantoms")), Data(source="phantom", positive="PNEUMONIA")
    dataset = read_dataset(phantom_folder(spec.phantom, store), spec)
    return dataset, open_pixels(pixel_cache(dataset, 80, store))[:, 0]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.png"))
    }


def test_there_are_480_training_and_120_test_images_one_normal_to_2_9(
    phantoms: tuple[Dataset, NDArray[np.uint8]],
) -> None:
    dataset, _ = phantoms
    assert dataset.counts(dataset.rows("train")) == {"NORMAL": 123, "PNEUMONIA": 357}
    assert dataset.counts(dataset.rows("test")) == {"NORMAL": 31, "PNEUMONIA": 89}
    assert dataset.synthetic


def test_patients_have_one_to_four_images_all_different(phantoms: tuple[Dataset, NDArray[np.uint8]]) -> None:
    table = phantoms[0].table
    assert set(table["patient"].value_counts()) == {1, 2, 3, 4}
    assert table["sha256"].is_unique
    assert (table.groupby("patient")["label"].nunique() == 1).all()


def test_images_of_a_patient_are_more_alike_than_others(phantoms: tuple[Dataset, NDArray[np.uint8]]) -> None:
    dataset, pixels = phantoms
    flat = pixels.reshape(len(pixels), -1).astype(float)
    flat = (flat - flat.mean(axis=1, keepdims=True)) / flat.std(axis=1, keepdims=True)
    alike = flat @ flat.T / flat.shape[1]
    patients = dataset.table["patient"].to_numpy()
    for label in (0, 1):
        rows = np.flatnonzero(dataset.labels == label)
        same = patients[rows][:, None] == patients[rows]
        pairs = alike[np.ix_(rows, rows)]
        assert pairs[same & ~np.eye(len(rows), dtype=bool)].mean() > pairs[~same].mean() + 0.02


def test_the_same_spec_draws_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    first = contents(phantom_folder(SMALL, Store(tmp_path / "1")))
    assert len(first) == 36
    assert contents(phantom_folder(SMALL, Store(tmp_path / "2"))) == first
    other = contents(phantom_folder(SMALL.model_copy(update={"seed": 4}), Store(tmp_path / "1")))
    assert not set(other.values()) & set(first.values())


def test_phantoms_are_drawn_once_and_say_that_they_are_synthetic(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = phantom_folder(SMALL, store)
    marked = folder / "train/NORMAL/mark.png"
    marked.touch()
    assert phantom_folder(SMALL, store) == folder
    assert marked.exists()
    assert "Synthetic" in (folder / "SYNTHETIC.txt").read_text()
    assert [path.name for path in store.data.iterdir()] == [folder.name]


def test_other_kinds_differ_only_in_what_is_to_be_seen_in_the_positive_class(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folders = [
        phantom_folder(SMALL.model_copy(update={"kind": kind}), store) for kind in ("opacities", "faint", "nodules")
    ]
    assert folders[0] == phantom_folder(SMALL, store)
    usual, *others = ({path.split("/", 1)[1]: found for path, found in contents(folder).items()} for folder in folders)
    assert len({len(each) for each in (usual, *others)}) == 1
    for other in others:
        changed = {path.split("/")[0] for path in usual if usual[path] != other[path]}
        assert changed == {"PNEUMONIA"}
    assert SMALL.model_dump() == {"train": 24, "test": 12, "seed": 3}, "the kind of before is in no id"


def test_without_test_phantoms_there_is_no_test_folder(tmp_path: Path) -> None:
    folder = phantom_folder(Phantom(train=8, test=0), Store(tmp_path))
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["train"]


def test_a_phantom_is_square_gray_and_uses_much_of_the_range() -> None:
    image = draw(True, np.random.default_rng(1), np.random.default_rng(2))
    assert image.shape == (160, 160)
    assert image.dtype == np.uint8
    assert np.percentile(image, 95) - np.percentile(image, 5) > 60
    assert Image.fromarray(image).mode == "L"


@pytest.mark.parametrize(
    "statistic",
    [
        lambda images: images.mean(axis=(1, 2)),
        lambda images: images.std(axis=(1, 2)),
        lambda images: np.median(images, axis=(1, 2)),
        lambda images: images.max(axis=(1, 2)),
        lambda images: images.min(axis=(1, 2)),
        lambda images: images[:, 20:60, 20:60].mean(axis=(1, 2)),
        lambda images: np.abs(np.diff(images, axis=2)).mean(axis=(1, 2)),
        lambda images: images[:, :10, :10].mean(axis=(1, 2)),
    ],
    ids=["mean", "spread", "median", "brightest", "darkest", "mean of the middle", "grain", "corner"],
)
def test_no_simple_statistic_gives_the_label_away(
    phantoms: tuple[Dataset, NDArray[np.uint8]], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> None:
    dataset, pixels = phantoms
    area = roc_auc_score(dataset.labels, statistic(pixels.astype(float)))
    assert max(area, 1 - area) < 0.8


def test_the_label_can_be_learnt_from_the_images(phantoms: tuple[Dataset, NDArray[np.uint8]]) -> None:
    dataset, pixels = phantoms
    train, test = dataset.rows("train"), dataset.rows("test")
    coarse = pixels.reshape(-1, 16, 5, 16, 5).mean(axis=(2, 4)).reshape(len(pixels), -1)
    coarse = coarse - coarse.mean(axis=1, keepdims=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=2000, class_weight="balanced"))
    model.fit(coarse[train], dataset.labels[train])
    assert roc_auc_score(dataset.labels[test], model.predict_proba(coarse[test])[:, 1]) > 0.7
