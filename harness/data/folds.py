"""Cross-validation folds that do not split patients."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.data.dataset import ALIKE, Dataset, Rows, place_of
from harness.errors import DataError, LeakageError
from harness.study.fold_protocol import Folds
from harness.study.identity import derive_seed, digest
from harness.study.number_words import first_of, is_are, number_of

BY = ("folds", "by")
MAX_LEVELS = 12  # in a sentence
_FILL = "fill the column in, or leave such rows out of the table"


@dataclass(frozen=True)
class Fold:
    """The rows of the manifest that one fit is trained and validated on."""

    repeat: int
    fold: int
    train: Rows
    validation: Rows


def make_folds(dataset: Dataset, spec: Folds) -> list[Fold]:
    """Make the stratified folds of every repeat; with `grouped`, each group of the dataset is on one side only.

    Folds by a column are read from it: each of its values is validated once.

    Without a patient rule (`Dataset.patient_rule`) each image counts as a patient.

    Raises DataError where k is too large for the data, and LeakageError if a fold ever leaks.
    """
    from sklearn.model_selection import StratifiedKFold

    from harness.data.stratified_groups import QuickStratifiedGroupKFold

    rows = dataset.rows("train")
    if not spec.is_drawn:
        return folds_by_column(dataset, spec)
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    _check_k(dataset, rows, spec)
    splitter = QuickStratifiedGroupKFold if spec.grouped else StratifiedKFold
    folds = []
    for repeat in range(spec.repeats):
        seed = derive_seed("folds", spec.seed, repeat)
        split = splitter(spec.k, shuffle=True, random_state=seed).split(rows, labels, groups if spec.grouped else None)
        folds += [Fold(repeat, fold, rows[train], rows[val]) for fold, (train, val) in enumerate(split)]
    for fold in folds:
        check_fold(dataset, fold, spec.grouped)
    return folds


def folds_by_column(dataset: Dataset, spec: Folds) -> list[Fold]:
    """The folds of a column of the table: the images of each value are validated once, by a fit to all others.

    Raises DataError where a training image has no value, and LeakageError where a patient has two.
    """
    rows, name = dataset.rows("train"), fold_column(spec)
    values = dataset.table[name].iloc[rows]
    empty = dataset.table.loc[values[values.isna()].index]
    if len(empty):
        raise DataError(f"{place_of(empty.iloc[0])} has no {name}, as {len(empty) - 1:,} others; {_FILL}", BY)
    levels = fold_levels(dataset, spec)
    if len(levels) < 2:
        raise DataError(f"all training images have the {name} {levels[0]!r}; two values or more make folds", BY)
    if spec.grouped:
        _require_apart(dataset, values)
    cells = values.to_numpy()
    folds = [Fold(0, n, rows[cells != level], rows[cells == level]) for n, level in enumerate(levels)]
    for fold, level in zip(folds, levels, strict=True):
        check_fold(dataset, fold, spec.grouped, f"it is the {name} {level!r}: put it together with another one")
    return folds


def fold_column(spec: Folds) -> str:
    """The column of the manifest with the folds of a study whose folds are not drawn."""
    return "fold" if spec.by == "column" else spec.by


def fold_levels(dataset: Dataset, spec: Folds) -> list[Any]:
    """The values of the column, in the order of the folds: numbers by their size."""
    values = dataset.table[fold_column(spec)].iloc[dataset.rows("train")].dropna().unique().tolist()
    numbers = all(re.fullmatch(r"\d+", str(value)) for value in values)
    return sorted(values, key=(lambda value: (int(value), str(value))) if numbers else None)


def _require_apart(dataset: Dataset, values: pd.Series) -> None:
    """Raise LeakageError where images of one patient, or identical files, have two values of the column."""
    groups = pd.Series(dataset.groups[values.index], index=values.index)
    torn = values.groupby(groups).nunique()
    if not (torn > 1).any():
        return
    rows = groups.index[groups == torn.index[torn > 1][0]]
    one, other = rows[0], next(row for row in rows if values[row] != values[rows[0]])
    images = dataset.table.loc[[one, other]]
    same = images["patient"].nunique() == 1
    what = f"the patient {images['patient'].iloc[0]} is" if same else "one file is"
    raise LeakageError(
        f"{what} in {values.name} {values[one]} and in {values[other]}: {place_of(images.iloc[0])} and"
        f" {place_of(images.iloc[1])}, one of {int((torn > 1).sum()):,} such; mend the table, or give"
        " folds: {grouped: false}, which is reported"
    )


def folds_words(dataset: Dataset, spec: Folds, folds: Sequence[Fold]) -> str:
    """The protocol in words: `3 folds x 1 repeat, stratified by class`; of folds by a column its values."""
    if spec.is_drawn:
        return f"{spec.k} folds x {number_of(spec.repeats, 'repeat')}, stratified by class"
    named = [f"{n} {level}" for n, level in enumerate(fold_levels(dataset, spec))]
    source = "as the table has them" if spec.by == "column" else f"by {spec.by}, one left out at a time"
    return f"{len(folds)} folds {source} ({first_of(named, MAX_LEVELS)})"


def _check_k(dataset: Dataset, rows: Rows, spec: Folds) -> None:
    for index, name in enumerate(dataset.classes):
        of_class = rows[dataset.labels[rows] == index]
        count = len(set(dataset.groups[of_class])) if spec.grouped else len(of_class)
        if count < spec.k:
            known = spec.grouped and dataset.patient_rule is not None
            unit = "patients" if known else "images"
            who = dataset.table["patient"].iloc[of_class[0]]
            found = (
                f" in its {number_of(len(of_class), 'image')}, such as {who}: check {_patient_field(dataset)}"
                if known
                else ""
            )
            found += "; nearly identical images count once: folds.duplicates" if ALIKE in dataset.table else ""
            raise DataError(
                f"{spec.k} folds need at least {spec.k} {unit} of each class; {name} has {count}{found};"
                " or use a smaller k"
            )


def _patient_field(dataset: Dataset) -> str:
    """What a user checks where the patients are odd."""
    return "the rule data.patient" if dataset.patient_words == "the rule" else dataset.patient_words


def check_fold(
    dataset: Dataset, fold: Fold, grouped: bool, mend: str = "use a smaller k or another folds.seed"
) -> None:
    """Raise LeakageError where training and validation overlap, DataError where a class is missing on a side."""
    shared = np.intersect1d(fold.train, fold.validation)
    if count := len(shared):
        raise LeakageError(f"{number_of(count, 'image')} {is_are(count)} in training and validation of {_at(fold)}")
    patients = np.intersect1d(dataset.groups[fold.train], dataset.groups[fold.validation])
    if grouped and (count := len(patients)):
        raise LeakageError(f"{number_of(count, 'patient')} {is_are(count)} in training and validation of {_at(fold)}")
    for side, rows in (("training", fold.train), ("validation", fold.validation)):
        missing = [name for name, count in dataset.counts(rows).items() if not count]
        if missing:
            raise DataError(f"{_at(fold)} has no {missing[0]} in {side}; {mend}")


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
