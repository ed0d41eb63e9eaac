"""Cross-validation folds that do not split patients, and oversampling within a fold."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.dataset import Dataset, Rows
from harness.errors import DataError, LeakageError
from harness.study.identity import derive_seed, digest
from harness.study.study import Folds


@dataclass(frozen=True)
class Fold:
    """The rows of the manifest that one fit is trained and validated on."""

    repeat: int
    fold: int
    train: Rows
    validation: Rows


def make_folds(dataset: Dataset, spec: Folds) -> list[Fold]:
    """Make the stratified folds of every repeat; with `grouped`, each patient and identical file is on one side only.

    Without a patient rule (`Dataset.patient_rule`) each image counts as a patient.

    Raises DataError where k is too large for the data, and LeakageError if a fold ever leaks.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    rows = dataset.rows("train")
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    _check_k(dataset, rows, spec)
    splitter = StratifiedGroupKFold if spec.grouped else StratifiedKFold
    folds = []
    for repeat in range(spec.repeats):
        seed = derive_seed("folds", spec.seed, repeat)
        split = splitter(spec.k, shuffle=True, random_state=seed).split(rows, labels, groups if spec.grouped else None)
        folds += [Fold(repeat, fold, rows[train], rows[val]) for fold, (train, val) in enumerate(split)]
    for fold in folds:
        check_fold(dataset, fold, spec.grouped)
    return folds


def _check_k(dataset: Dataset, rows: Rows, spec: Folds) -> None:
    for index, name in enumerate(dataset.classes):
        of_class = rows[dataset.labels[rows] == index]
        count = len(set(dataset.groups[of_class])) if spec.grouped else len(of_class)
        if count < spec.k:
            known = spec.grouped and dataset.patient_rule is not None
            unit = "patients" if known else "images"
            who = dataset.table["patient"].iloc[of_class[0]]
            found = f" in its {len(of_class)} images, such as {who}: check the rule data.patient" if known else ""
            raise DataError(f"{spec.k} folds need at least {spec.k} {unit} of each class; {name} has {count}{found}")


def check_fold(dataset: Dataset, fold: Fold, grouped: bool) -> None:
    """Raise LeakageError where training and validation overlap, DataError where a class is missing on a side."""
    shared = np.intersect1d(fold.train, fold.validation)
    if len(shared):
        raise LeakageError(f"{len(shared)} images are in training and validation of {_at(fold)}")
    patients = np.intersect1d(dataset.groups[fold.train], dataset.groups[fold.validation])
    if grouped and len(patients):
        raise LeakageError(f"{len(patients)} patients are in training and validation of {_at(fold)}")
    for side, rows in (("training", fold.train), ("validation", fold.validation)):
        missing = [name for name, count in dataset.counts(rows).items() if not count]
        if missing:
            raise DataError(f"{_at(fold)} has no {missing[0]} in {side}; use a smaller k or another folds.seed")


def _at(fold: Fold) -> str:
    return f"repeat {fold.repeat}, fold {fold.fold}"


def fold_digests(dataset: Dataset, folds: list[Fold]) -> dict[tuple[int, int], str]:
    """The hash of each fold's training and validation images, by (repeat, fold)."""
    images = dataset.table["image"]
    return {
        (fold.repeat, fold.fold): digest([images[fold.train].tolist(), images[fold.validation].tolist()])
        for fold in folds
    }


def folds_json(dataset: Dataset, folds: list[Fold], all_folds: str) -> dict[str, Any]:
    """The content of `folds.json`: the images of each fold, their counts, and what is on both sides.

    `shared_patients` is null without a patient rule.
    """
    images, patients = dataset.table["image"], dataset.table["patient"]
    known = dataset.patient_rule is not None
    return {
        "digest": all_folds,
        "manifest": dataset.digest,
        "folds": [
            {
                "repeat": fold.repeat,
                "fold": fold.fold,
                "train": images[fold.train].tolist(),
                "validation": images[fold.validation].tolist(),
                "train_counts": dataset.counts(fold.train),
                "validation_counts": dataset.counts(fold.validation),
                "shared_images": len(set(images[fold.train]) & set(images[fold.validation])),
                "shared_patients": len({*patients[fold.train]} & {*patients[fold.validation]}) if known else None,
            }
            for fold in folds
        ],
    }


def oversample(rows: Rows, labels: Rows, method: str, seed: int, ratio: float = 1.0) -> Rows:
    """Oversample training rows; `random` repeats rows of the smaller classes.

    rows: [n], training rows of the manifest. labels: [n], their classes.
    ratio: the least number of images of a class afterwards, as a proportion of the largest class.
    """
    counts = Counter(labels.tolist())
    if method == "none" or len(counts) < 2:
        return rows
    from imblearn.over_sampling import RandomOverSampler

    least = round(ratio * max(counts.values()))
    wanted = {label: max(count, least) for label, count in counts.items()}
    sampler = RandomOverSampler(sampling_strategy=wanted, random_state=seed)
    sampler.fit_resample(np.arange(len(rows)).reshape(-1, 1), labels)
    chosen: Rows = rows[sampler.sample_indices_]
    return chosen
