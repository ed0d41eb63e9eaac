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
