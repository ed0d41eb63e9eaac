"""Measure leaks: in the folds of a study, and in the folds that it avoids."""

from dataclasses import dataclass

import numpy as np

from harness.data.dataset import Dataset, Rows
from harness.data.folds import Fold
from harness.data.resampling import oversample
from harness.study.identity import derive_seed


@dataclass(frozen=True)
class Leak:
    """The proportion of validation images that leak into training, over all folds: in total and by class."""

    share: float
    by_class: dict[str, float]


def patient_leak(dataset: Dataset, folds: list[Fold]) -> Leak:
    """The proportion of validation images whose patient (or an identical file) is in training in the same fold."""
    hits = [np.isin(dataset.groups[fold.validation], dataset.groups[fold.train]) for fold in folds]
    return _leak(dataset, np.concatenate([fold.validation for fold in folds]), np.concatenate(hits))


def ungrouped_folds(dataset: Dataset, k: int, seed: int) -> list[Fold]:
    """The folds of a plain shuffled stratified split, which separates images of one patient."""
    from sklearn.model_selection import StratifiedKFold

    rows = dataset.rows("train")
    split = StratifiedKFold(k, shuffle=True, random_state=derive_seed("ungrouped", seed)).split(
        rows, dataset.labels[rows]
    )
    return [Fold(0, fold, rows[train], rows[val]) for fold, (train, val) in enumerate(split)]


def oversampled_before_split(dataset: Dataset, fold: Fold, k: int, seed: int, ratio: float = 1.0) -> Fold:
    """The fold that results if oversampling precedes the split. It leaks: use it only to measure the leak.

    The copies that balance the training split are assigned to the k folds at random, independent of the fold of their
    original; the originals stay in their folds, so that nothing else differs.
    seed: the same for all folds of a repeat. ratio: see `oversample`.
    """
    rows = dataset.rows("train")
    copies = oversample(rows, dataset.labels[rows], "random", seed, ratio)[len(rows) :]  # the originals come first
    place = np.random.default_rng(seed).integers(0, k, len(copies))
    train = np.concatenate([fold.train, copies[place != fold.fold]])
    return Fold(fold.repeat, fold.fold, train, np.concatenate([fold.validation, copies[place == fold.fold]]))


def oversampling_leak(dataset: Dataset, folds: list[Fold], k: int, seed: int) -> Leak:
    """The proportion of validation rows with an identical copy in training if oversampling precedes the split."""
    leaking = [oversampled_before_split(dataset, fold, k, derive_seed(seed, fold.repeat)) for fold in folds]
    hits = [np.isin(fold.validation, fold.train) for fold in leaking]
    return _leak(dataset, np.concatenate([fold.validation for fold in leaking]), np.concatenate(hits))


def _leak(dataset: Dataset, rows: Rows, hits: np.ndarray) -> Leak:
    by_class = {
        name: float(hits[dataset.labels[rows] == index].mean())
        for index, name in enumerate(dataset.classes)
        if (dataset.labels[rows] == index).any()
    }
    return Leak(float(hits.mean()), by_class)
