"""Count what is on both sides of a split, and describe it in the same words everywhere."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from harness.data.dataset import Dataset, Rows
from harness.data.folds import Fold
from harness.study import Study
from harness.study.settings import Settings

PATIENTS_UNKNOWN = "patients unknown: each image counts as one; folds may split a patient"


@dataclass(frozen=True)
class Shared:
    """The numbers of patients and of identical files on both sides of a split."""

    patients: int | None  # None: there is no patient rule
    files: int


@dataclass(frozen=True)
class Separation:
    """The counts. patients, test_patients: None without a patient rule."""

    patients: int | None  # of the training images
    test_patients: int | None
    alone: bool  # the rule finds no patient with two images
    grouped: bool
    folds: Shared  # on both sides of any fold
    splits: Shared | None  # in train/ and in test/; None without test images
    accepted: tuple[str, ...]  # the audit errors that the study file accepts

    @property
    def known(self) -> bool:
        """Whether there is a patient rule."""
        return self.patients is not None

    @property
    def sound(self) -> bool:
        """Whether the folds keep patients together, as far as the rule finds them."""
        return self.known and self.grouped and not self.alone

    @property
    def unit(self) -> str:
        """What a bootstrap resamples."""
        return "patients" if self.known else "images"

    @property
    def of_patients(self) -> str:
        """The words after a number of training images: how many patients they are from."""
        return f" of {self.patients:,} patients" if self.known else ", patients unknown"

    def facts(self) -> dict[str, object]:
        """The counts and the sentences about them, for scripts."""
        return asdict(self) | {"of_folds": self.of_folds, "of_splits": self.of_splits}

    @property
    def of_folds(self) -> str:
        """The sentence on whether the folds keep patients together, and how that is known."""
        if not self.known:
            files = _count(self.folds.files, "identical file", "on both sides of a fold")
            return PATIENTS_UNKNOWN + ("" if self.grouped and not self.folds.files else f"; {files}")
        count = f"{self.folds.patients:,} of {self.patients:,} patients on both sides of any fold (checked)"
        alone = "; the rule finds no patient with two images" if self.alone else ""
        return f"{'' if self.grouped else 'NOT '}grouped by patient: {count}{alone}"

    @property
    def of_splits(self) -> str:
        """The sentence on what training and test images share, and whether that was accepted."""
        if self.splits is None:
            return "there are no test images"
        files = _count(self.splits.files, "identical file", "in training and in test")
        parts = [files + self._accepted("duplicate-across-splits", self.splits.files)]
        if self.known:
            count = f"{self.splits.patients:,} of {self.test_patients:,} test patients in training too"
            parts.insert(0, count + self._accepted("patient-across-splits", self.splits.patients or 0))
        near = "near-duplicate-across-splits"
        more = f"; nearly identical images in both are accepted ({near})" if near in self.accepted else ""
        return f"{', '.join(parts)} (checked){more}{'' if self.known else '; patients unknown'}"

    def _accepted(self, name: str, count: int) -> str:
        return f" (accepted by name: {name})" if count and name in self.accepted else ""


def class_counts(dataset: Dataset) -> pd.DataFrame:
    """The numbers of images and patients by split and class; columns: split, label, images, patients (or `unknown`)."""
    table = dataset.table.groupby(["split", "label"], sort=False)
    frame = table.agg(images=("image", "size"), patients=("patient", "nunique")).reset_index()
    return frame if dataset.patient_rule is not None else frame.assign(patients="unknown")


def separation(study: Study, dataset: Dataset, folds: Iterable[Fold]) -> Separation:
    """Count what the folds and the splits of a study share."""
    train, test = (dataset.rows(split) for split in ("train", "test"))
    patients, files = (dataset.table[column].factorize()[0] for column in ("patient", "sha256"))
    known = dataset.patient_rule is not None

    def shared(pairs: list[tuple[Rows, Rows]]) -> Shared:
        return Shared(_on_both_sides(patients, pairs) if known else None, _on_both_sides(files, pairs))

    return Separation(
        patients=len(np.unique(patients[train])) if known else None,
        test_patients=len(np.unique(patients[test])) if known else None,
        alone=known and dataset.table["patient"].is_unique,
        grouped=study.folds.grouped,
        folds=shared([(fold.train, fold.validation) for fold in folds]),
        splits=shared([(train, test)]) if len(test) else None,
        accepted=tuple(study.audit.accept),
    )


def _on_both_sides(codes: Rows, pairs: list[tuple[Rows, Rows]]) -> int:
    """The number of codes that occur on both sides of any of these pairs of rows."""
    found = np.zeros(len(codes), dtype=bool)
    for sides in pairs:
        seen = np.zeros((2, len(codes)), dtype=bool)
        for side, rows in zip(seen, sides, strict=True):
            side[codes[rows]] = True
        found |= seen.all(axis=0)
    return int(found.sum())


def oversampling_words(scenarios: Iterable[Settings]) -> str:
    """The sentence on whether oversampling in these scenarios copies validation images into training."""
    every = list(scenarios)
    leaking = sum(settings.leaks for settings in every)
    if leaking:
        return (
            f"{leaking} of {len(every)} scenarios oversample BEFORE THE SPLIT: copies of their validation images are"
            " in training"
        )
    if any(settings.oversampling != "none" for settings in every):
        return "oversampling copies training images only"
    return "no scenario oversamples"


def _count(number: int, what: str, where: str) -> str:
    return f"{number or 'no'} {what}{'s' if number > 1 else ''} {where}"
