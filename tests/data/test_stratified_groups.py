"""The quicker split, against scikit-learn's own."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from harness.data.stratified_groups import QuickStratifiedGroupKFold


@pytest.mark.parametrize("folds", [2, 5])
@pytest.mark.parametrize("classes", [2, 3, 11])
@pytest.mark.parametrize("groups", [40, 300])
def test_the_folds_are_those_of_scikit_learn(folds: int, classes: int, groups: int) -> None:
    rng = np.random.default_rng(groups + classes)
    labels, of = rng.integers(0, classes, 400) // rng.integers(1, 3, 400), rng.integers(0, groups, 400)
    for seed in range(3):
        theirs, ours = (
            [held.tolist() for _, held in splitter(folds, shuffle=True, random_state=seed).split(of, labels, of)]
            for splitter in (StratifiedGroupKFold, QuickStratifiedGroupKFold)
        )
        assert ours == theirs


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("seed", range(12))
def test_so_are_those_of_any_number_of_folds_classes_and_images_of_a_patient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    folds, classes, images = (int(rng.integers(least, most)) for least, most in ((2, 13), (1, 6), (120, 300)))
    patients = [
        rng.integers(0, images, images),
        np.arange(images) % 40,  # of as many images each, so that folds are equally good
        np.arange(images),
        rng.geometric(0.05, images),  # some have most of the images
    ][seed % 4]
    labels = patients % classes if seed % 3 else rng.integers(0, classes, images)
    theirs, ours = (
        [held.tolist() for _, held in splitter(folds, shuffle=True, random_state=seed).split(labels, labels, patients)]
        for splitter in (StratifiedGroupKFold, QuickStratifiedGroupKFold)
    )
    assert ours == theirs


def test_scikit_learn_asks_the_quicker_way() -> None:
    asked = list[int]()

    class Noted(QuickStratifiedGroupKFold):
        def _find_best_fold(
            self, y_counts_per_fold: NDArray[Any], y_cnt: NDArray[Any], group_y_counts: NDArray[Any]
        ) -> int:
            asked.append(1)
            return super()._find_best_fold(y_counts_per_fold, y_cnt, group_y_counts)

    labels = np.arange(20) % 2
    next(Noted(2, shuffle=True, random_state=0).split(labels, labels, np.arange(20)))
    assert len(asked) == 20
