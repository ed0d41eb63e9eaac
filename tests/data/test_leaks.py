from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.data.dataset import Dataset
from harness.data.folds import make_folds
from harness.data.leaks import oversampled_before_split, patient_leak, ungrouped_folds
from harness.data.manifest import read_dataset
from harness.study.data_block import Data
from harness.study.fold_protocol import Folds
from tests.conftest import PATIENT


@pytest.fixture
def dataset(image_folder: Path) -> Dataset:
    return read_dataset(image_folder, Data(source="folder", patient=PATIENT))


def test_oversampling_before_the_split_deals_the_copies_to_both_sides_and_leaves_the_originals(
    dataset: Dataset,
) -> None:
    folds = make_folds(dataset, Folds(k=2))
    leaking = [oversampled_before_split(dataset, fold, k=2, seed=5) for fold in folds]
    everything = np.concatenate([fold.validation for fold in leaking])
    assert dataset.counts(everything) == {"A": 12, "B": 12}  # balanced over the whole training split
    for before, after in zip(folds, leaking, strict=True):
        assert not Counter(before.train.tolist()) - Counter(after.train.tolist())
        assert not Counter(before.validation.tolist()) - Counter(after.validation.tolist())
        assert Counter(np.concatenate([after.train, after.validation]).tolist()) == Counter(everything.tolist())
    assert any(len(np.intersect1d(fold.train, fold.validation)) for fold in leaking)


def test_grouped_folds_leak_no_patient_and_plain_ones_do(dataset: Dataset) -> None:
    assert patient_leak(dataset, make_folds(dataset, Folds(k=2))).share == 0
    plain = ungrouped_folds(dataset, 2, seed=0)
    expected = np.mean(
        [p in set(dataset.table["patient"][f.train]) for f in plain for p in dataset.table["patient"][f.validation]]
    )
    assert patient_leak(dataset, plain).share == pytest.approx(expected)
    assert expected > 0
