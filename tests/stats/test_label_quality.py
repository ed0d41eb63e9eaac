"""Labels that were changed on purpose are found again by models that never saw them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.data.phantom import phantom_folder
from harness.stats.label_quality import LabelQuality, label_quality
from harness.store import Store
from harness.study.data_block import Phantom

CHANGED = 48  # of 480 labels


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """480 phantoms of 24 x 24 px, and their classes."""
    root = phantom_folder(Phantom(train=480, test=0), Store(tmp_path_factory.mktemp("store")))
    files = sorted((root / "train").rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(file).resize((24, 24))).ravel() for file in files]).astype(np.float64)
    return pixels, np.array([Path(file).parent.name == "PNEUMONIA" for file in files], dtype=np.int64)


def rated(pixels: NDArray[np.float64], labels: NDArray[np.int64]) -> LabelQuality:
    """What two linear models in two repeats of three folds say of the labels."""
    members = [
        cross_val_predict(
            make_pipeline(
                StandardScaler(), PCA(40, random_state=0), LogisticRegression(C=0.1, max_iter=500, class_weight=weight)
            ),
            pixels, labels, cv=StratifiedKFold(3, shuffle=True, random_state=repeat), method="predict_proba",
        )
        for repeat in range(2)
        for weight in (None, "balanced")
    ]  # fmt: skip
    return label_quality(labels, members)


def test_changed_labels_are_at_the_top_far_more_often_than_by_chance(
    phantoms: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    pixels, true = phantoms
    hits = []
    for seed in range(3):
        changed = np.random.default_rng(seed).choice(len(true), CHANGED, replace=False)
        given = true.copy()
        given[changed] = 1 - given[changed]
        quality = rated(pixels, given)
        worst = np.argsort(quality.scores)[:24]
        hits.append(np.isin(worst, changed).mean())
        assert np.isin(np.flatnonzero(quality.suspect), changed).mean() > 1.5 * CHANGED / len(true)
        assert quality.joint.sum() == pytest.approx(1) and quality.joint.shape == (2, 2)
    assert np.mean(hits) > 0.4, "by chance it is 0.1"
    assert min(hits) > 0.3


def test_the_noise_between_classes_is_estimated_where_models_are_good() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 900)
    given = true.copy()
    moved = (true == 2) & (rng.random(900) < 0.3)
    given[moved] = 0
    members = []
    for _ in range(3):
        logits = rng.normal(0, 1, (900, 3))
        logits[np.arange(900), true] += 5
        members.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    quality = label_quality(given, members)
    assert quality.joint[0, 2] * 900 == pytest.approx(moved.sum(), rel=0.35)
    assert quality.joint[[0, 1, 1, 2, 2], [1, 0, 2, 0, 1]].sum() * 900 < 0.2 * moved.sum()
    assert (quality.suspect == moved).mean() > 0.95
    assert quality.scores[moved].max() < quality.scores[~moved].mean()
