"""A split of the training images of one fit, by which it chooses its own settings; no patient is on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Dataset, Rows
from harness.data.folds import Fold
from harness.errors import DataError, LeakageError
from harness.study import Study
from harness.study.number_words import is_are, number_of

FOR_PROBES = 0.2  # of the training images


@dataclass(frozen=True)
class InnerSplit:
    """The training images of a fit, each once.

    rows: of the manifest. labels: classes. counts: how often oversampling drew each. held_out: whether it is on the
    side that chooses. Each is [n].
    """

    rows: Rows
    labels: Rows
    counts: Rows
    held_out: NDArray[np.bool_]

    @property
    def kept(self) -> Rows:
        """The rows that are not held out, each as often as it was drawn."""
        return self.rows[~self.held_out].repeat(self.counts[~self.held_out])


def inner_split(dataset: Dataset, train: Rows, seed: int, share: float = FOR_PROBES) -> InnerSplit:
    """Hold out about this share of the training images, stratified by class; groups of the dataset stay together.

    train: rows of the manifest, those that were oversampled as often as they were drawn.
    Raises DataError where a class has too few patients to be on both sides.
    """
    from harness.data.stratified_groups import QuickStratifiedGroupKFold

    rows, counts = np.unique(train, return_counts=True)
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    least, name = _least(dataset, rows)
    splitter = QuickStratifiedGroupKFold(min(round(1 / share), max(2, least)), shuffle=True, random_state=seed)
    for kept, held in splitter.split(rows, labels, groups) if least > 1 else ():
        if all(len(set(labels[side])) == len(dataset.classes) for side in (kept, held)):
            _require_apart(groups, kept, held)
            return InnerSplit(rows, labels, counts, np.isin(np.arange(len(rows)), held))
    raise _too_few(dataset, name, least)


def check_inner_splits(study: Study, dataset: Dataset, folds: Sequence[Fold]) -> None:
    """Raise DataError where a fit that chooses by an inner split would find a class of one patient only in a fold.

    A share of the training images may still have too few; that ends the fit itself.
    """
    for field, settings in study.settings():
        if settings.is_probe or settings.stop_patience:
            with study.blamed(*study.place(field, "head" if settings.is_probe else "stop_patience")):
                for fold in folds:
                    least, name = _least(dataset, fold.train)
                    if least < 2:
                        raise _too_few(dataset, name, least)


def _least(dataset: Dataset, rows: Rows) -> tuple[int, str]:
    """The number of patients of the class with the fewest among these images, and the class."""
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    return min((len(set(groups[labels == c])), name) for c, name in enumerate(dataset.classes))


def _too_few(dataset: Dataset, name: str, found: int) -> DataError:
    unit = "patients" if dataset.patient_rule is not None else "images"
    return DataError(
        f"a probe, or a fit that stops, chooses by an inner split, which needs two {unit} or more of each class among"
        f" the training images; {name} has {found}: use head: linear and stop_patience: 0, which choose nothing, or"
        " more images"
    )


def _require_apart(groups: Rows, kept: Rows, held: Rows) -> None:
    """Raise LeakageError where a group is on both sides."""
    shared = np.intersect1d(groups[kept], groups[held])
    if len(shared):
        raise LeakageError(f"{number_of(len(shared), 'patient')} {is_are(len(shared))} on both sides of an inner split")
