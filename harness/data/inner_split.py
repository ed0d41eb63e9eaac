"""A split of the training images of one fit, by which it chooses its own settings; no patient is on both sides."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Dataset, Rows
from harness.errors import DataError, LeakageError

PARTS = 5  # one of which is held out


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


def inner_split(dataset: Dataset, train: Rows, seed: int) -> InnerSplit:
    """Hold out about a fifth of the training images, stratified by class; groups of the dataset stay together.

    train: rows of the manifest, those that were oversampled as often as they were drawn.
    Raises DataError where a class has too few patients to be on both sides.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rows, counts = np.unique(train, return_counts=True)
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    least, name = min((len(set(groups[labels == c])), name) for c, name in enumerate(dataset.classes))
    splitter = StratifiedGroupKFold(min(PARTS, max(2, least)), shuffle=True, random_state=seed)
    for kept, held in splitter.split(rows, labels, groups) if least > 1 else ():
        if all(len(set(labels[side])) == len(dataset.classes) for side in (kept, held)):
            _require_apart(groups, kept, held)
            return InnerSplit(rows, labels, counts, np.isin(np.arange(len(rows)), held))
    unit = "patients" if dataset.patient_rule is not None else "images"
    raise DataError(
        f"an inner split needs two {unit} or more of each class among the training images; {name} has {least}: use"
        " head: linear, which chooses nothing, or more images"
    )


def _require_apart(groups: Rows, kept: Rows, held: Rows) -> None:
    """Raise LeakageError where a group is on both sides."""
    shared = np.intersect1d(groups[kept], groups[held])
    if len(shared):
        raise LeakageError(f"{len(shared)} patients are on both sides of an inner split")
