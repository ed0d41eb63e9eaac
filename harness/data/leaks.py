"""What would leak without the guard: the same counts for the folds of a study and for the folds it refuses."""

from dataclasses import dataclass

import numpy as np

from harness.data.folds import Fold, oversample
from harness.data.manifest import Dataset, Rows
from harness.plan import derive_seed


@dataclass(frozen=True)
class Leak:
    """Validation images that training has seen something of, over all folds: by class, and in all."""

    share: float
    by_class: dict[str, float]


def patient_leak(dataset: Dataset, folds: list[Fold]) -> Leak:
    """The share of validation images whose patient (or an identical file) stands in the training side of their fold."""
    hits = [np.isin(dataset.groups[fold.validation], dataset.groups[fold.train]) for fold in folds]
    return _leak(dataset, np.concatenate([fold.validation for fold in folds]), np.concatenate(hits))


def ungrouped_folds(dataset: Dataset, k: int, seed: int) -> list[Fold]:
    """The folds of a plain shuffled stratified split, patients torn apart."""
    from sklearn.model_selection import StratifiedKFold

    rows = dataset.rows("train")
    split = StratifiedKFold(k, shuffle=True, random_state=derive_seed("ungrouped", seed)).split(
        rows, dataset.labels[rows]
    )
    return [Fold(0, fold, rows[train], rows[val]) for fold, (train, val) in enumerate(split)]


def oversampling_leak(dataset: Dataset, k: int, seed: int) -> Leak:
    """The share of validation rows with an identical copy in training where oversampling precedes the split."""
    from sklearn.model_selection import StratifiedKFold

    rows = dataset.rows("train")
    rows = oversample(rows, dataset.labels[rows], "random", derive_seed("oversampling-leak", seed))
    split = StratifiedKFold(k, shuffle=True, random_state=derive_seed("oversampling-leak", seed)).split(
        rows, dataset.labels[rows]
    )
    parts = [(rows[val], np.isin(rows[val], rows[train])) for train, val in split]
    return _leak(dataset, np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def _leak(dataset: Dataset, rows: Rows, hits: np.ndarray) -> Leak:
    by_class = {
        name: float(hits[dataset.labels[rows] == index].mean())
        for index, name in enumerate(dataset.classes)
        if (dataset.labels[rows] == index).any()
    }
    return Leak(float(hits.mean()), by_class)
