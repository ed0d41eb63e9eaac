"""What would leak without the guard: the same counts for the folds of a study and for the folds it refuses."""

from dataclasses import dataclass

import numpy as np

from harness.data.folds import Fold, oversample
from harness.data.manifest import Dataset, Rows
from harness.study.identity import derive_seed


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


def oversampled_before_split(dataset: Dataset, fold: Fold, k: int, seed: int, ratio: float = 1.0) -> Fold:
    """The fold as it comes out where oversampling precedes the split: it leaks, and is there to measure the leak.

    The copies that balance the whole training split are dealt to the k folds at random, whatever fold their original
    stands in; the originals stay where the study's folds have them, so that nothing else differs.
    seed: the same for all folds of a repeat. ratio: that of `oversample`.
    """
    rows = dataset.rows("train")
    copies = oversample(rows, dataset.labels[rows], "random", seed, ratio)[len(rows) :]  # the originals come first
    place = np.random.default_rng(seed).integers(0, k, len(copies))
    train = np.concatenate([fold.train, copies[place != fold.fold]])
    return Fold(fold.repeat, fold.fold, train, np.concatenate([fold.validation, copies[place == fold.fold]]))


def oversampling_leak(dataset: Dataset, folds: list[Fold], k: int, seed: int) -> Leak:
    """The share of validation rows with an identical copy in training where oversampling precedes the split."""
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
