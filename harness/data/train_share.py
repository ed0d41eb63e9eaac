"""Shares of the training images, for learning curves: whole patients, the smaller share within the larger."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Dataset, Rows
from harness.data.folds import Fold
from harness.errors import DataError
from harness.study import Study
from harness.study.identity import derive_seed
from harness.study.plan import Job
from harness.study.settings import level_text
from harness.study.strict_yaml import FieldPath


def share_of(dataset: Dataset, rows: Rows, share: float, seed: int) -> Rows:
    """The training rows that a fit on this share of them learns from, in their order; all of them for 1.0.

    Patients are whole, and the classes keep their proportions as far as whole patients allow.
    """
    return rows if share == 1 else rows[joins_at(dataset, rows, seed) <= share]


def share_seed(seed: int, job: Job) -> int:
    """The seed of the draw: the same for all scenarios of a fold. seed: of the study."""
    return _seed(seed, job.repeat, job.fold)


def _seed(seed: int, repeat: int, fold: int | None) -> int:
    return derive_seed("train_share", seed, repeat, fold)


def joins_at(dataset: Dataset, rows: Rows, seed: int) -> NDArray[np.float64]:
    """The share from which on each row is learned from, [n]; the same for all images of a patient.

    The patients of each class join in a random order, each when the share reaches the middle of its images. A patient
    with several classes counts as one of the rarest of them.
    """
    labels = dataset.labels[rows]
    groups = np.unique(dataset.groups[rows], return_inverse=True)[1]
    rarity = np.bincount(labels, minlength=len(dataset.classes)).argsort(kind="stable").argsort(kind="stable")
    stratum = np.full(groups.max() + 1, len(dataset.classes))
    np.minimum.at(stratum, groups, rarity[labels])
    order = np.random.default_rng(seed).permutation(len(stratum))
    order = order[stratum[order].argsort(kind="stable")]
    images, of_stratum = np.bincount(groups)[order], stratum[order]
    totals = np.bincount(of_stratum, weights=images)
    before = (totals.cumsum() - totals)[of_stratum]  # the images of the strata before
    joins = np.empty(len(stratum))
    joins[order] = (images.cumsum() - images / 2 - before) / totals[of_stratum]
    found: NDArray[np.float64] = joins[groups]
    return found


def check_train_shares(study: Study, dataset: Dataset, folds: Sequence[Fold]) -> None:
    """Raise DataError for the first share, of the base or of a grid, with which a fit would miss a class."""
    shares = list(_shares(study))
    if not shares:
        return
    trained = [(f"repeat {fold.repeat}, fold {fold.fold}", fold.train, fold.repeat, fold.fold) for fold in folds]
    refits = study.test is not None and study.test.model == "refit" and len(dataset.rows("test")) > 0
    whole = [("the refit", dataset.rows("train"), 0, None)] if refits else []
    least = [
        (float(joins[dataset.labels[rows] == index].min()), name, where)
        for where, rows, repeat, fold in [*trained, *whole]
        for joins in [joins_at(dataset, rows, _seed(study.seed, repeat, fold))]
        for index, name in enumerate(dataset.classes)
    ]
    needed, name, where = max(least)
    for field, share in shares:
        if share < needed:
            with study.blamed(*field):
                raise DataError(
                    f"{level_text(share)} of the training images of {where} has none of {name}, in whole patients;"
                    f" from {math.ceil(needed * 1000) / 1000:g} on each fit has every class"
                )


def share_lines(study: Study, dataset: Dataset, folds: Sequence[Fold]) -> Iterator[str]:
    """What the fits on each share below 1 learn from: `train_share 0.1: 12 to 14 training images ...`."""
    for share in sorted({share for _, share in _shares(study)}):
        cut = [share_of(dataset, fold.train, share, _seed(study.seed, fold.repeat, fold.fold)) for fold in folds]
        patients = _span([dataset.table["patient"].iloc[rows].nunique() for rows in cut])
        known = f" of {patients} patients" if dataset.patient_rule is not None else ""
        yield f"train_share {level_text(share)}: {_span([len(rows) for rows in cut])} training images{known} a fit"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _shares(study: Study) -> Iterator[tuple[FieldPath, float]]:
    """The shares below 1 of the base and of the grids, each with its field."""
    for field, settings in study.settings():
        place = study.place(field, "train_share")
        if settings.train_share < 1 and "train_share" in place:
            yield place, settings.train_share
