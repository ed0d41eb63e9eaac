"""Count what is on both sides of a split, and describe it in the same words everywhere."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from harness.data.dataset import Dataset, Rows
from harness.data.folds import Fold
from harness.data.patient_counts import PATIENTS_UNKNOWN, UNKNOWN, PatientCounts, count_patients, doubts, rule_words
from harness.study import Study
from harness.study.number_words import verb
from harness.study.own_file import is_custom
from harness.study.settings import Settings


@dataclass(frozen=True)
class Shared:
    """The numbers of patients and of identical files on both sides of a split."""

    patients: int | None  # None: there is no patient rule
    files: int


@dataclass(frozen=True)
class Separation:
    """The counts, and the sentences about them."""

    counts: PatientCounts | None  # of the training images; None without a patient rule
    test_patients: int | None
    rule: str  # in words; empty without one
    doubts: tuple[str, ...]  # about the rule
    grouped: bool
    folds: Shared  # on both sides of any fold
    splits: Shared | None  # in train/ and in test/; None without test images
    accepted: tuple[str, ...]  # the audit errors that the study file accepts

    @property
    def known(self) -> bool:
        """Whether there is a patient rule."""
        return self.counts is not None

    @property
    def patients(self) -> int | None:
        """The number of patients of the training images; None without a rule."""
        return self.counts.patients if self.counts else None

    @property
    def sound(self) -> bool:
        """Whether the folds keep patients together, as far as the rule finds them."""
        return self.known and self.grouped and not self.doubts

    @property
    def unit(self) -> str:
        """What a bootstrap resamples."""
        return "patients" if self.known else "images"

    @property
    def of_images(self) -> str:
        """The words after a number of training images: how many patients they are from."""
        doubtful = " by a doubtful rule" if self.doubts else ""
        return f" of {self.patients:,} patients{doubtful}" if self.known else f", {UNKNOWN}"

    @property
    def of_rule(self) -> str:
        """The sentence on who the patients are, and how that is known."""
        return f"patients by {self.rule}: {self.counts}" if self.known else PATIENTS_UNKNOWN

    def facts(self) -> dict[str, object]:
        """The counts and the sentences about them, for scripts. grouped: null where patients are unknown."""
        shared = {"patients": self.patients, "grouped": self.grouped if self.known else None}
        return asdict(self) | shared | {name: getattr(self, name) for name in ("of_rule", "of_folds", "of_splits")}

    @property
    def of_folds(self) -> str:
        """The sentence on whether the folds keep patients together, and how that is known."""
        if not self.known:
            files = _count(self.folds.files, "identical file", "on both sides of a fold")
            return PATIENTS_UNKNOWN + ("" if self.grouped and not self.folds.files else f"; {files}")
        count = f"{self.folds.patients:,} of {self.patients:,} patients on both sides of any fold (checked)"
        grouped = "grouped" if self.grouped else "NOT grouped"
        if self.doubts:
            return f"patients doubtful: {'; '.join(self.doubts)}; {grouped} by this rule: {count}"
        return f"{grouped} by patient: {count}"

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
        return f"{', '.join(parts)} (checked){more}{'' if self.known else f'; {UNKNOWN}'}"

    def _accepted(self, name: str, count: int) -> str:
        return f" (accepted by name: {name})" if count and name in self.accepted else ""


def separation(study: Study, dataset: Dataset, folds: Iterable[Fold]) -> Separation:
    """Count what the folds and the splits of a study share."""
    train, test = (dataset.rows(split) for split in ("train", "test"))
    patients, files = (dataset.table[column].factorize()[0] for column in ("patient", "sha256"))
    known = dataset.patient_rule is not None

    def shared(pairs: list[tuple[Rows, Rows]]) -> Shared:
        return Shared(_on_both_sides(patients, pairs) if known else None, _on_both_sides(files, pairs))

    return Separation(
        counts=count_patients(dataset.table) if known else None,
        test_patients=len(np.unique(patients[test])) if known else None,
        rule=rule_words(study),
        doubts=tuple(doubt.text for doubt in doubts(dataset.table, dataset.patient_words)) if known else (),
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
    """The sentence on whether resampling in these scenarios copies validation images into training."""
    every = list(scenarios)
    leaking = sum(settings.leaks for settings in every)
    if leaking:
        return (
            f"{leaking} of {len(every)} scenarios {verb(leaking, 'oversamples', 'oversample')} BEFORE THE SPLIT: copies"
            f" of {verb(leaking, 'its', 'their')} validation images are in training"
        )
    if any(is_custom(settings.oversampling) for settings in every):
        return "oversampling draws from training images only, in some scenarios by a sampler of the user's own"
    if any(settings.synthesises for settings in every):
        return "resampling copies, leaves out and makes images of training images only, and scores none that it made"
    if any(settings.oversampling != "none" for settings in every):
        return "oversampling copies training images only"
    if any(settings.undersampling != "none" for settings in every):
        return "undersampling leaves out training images only"
    return "no scenario oversamples"


def _count(number: int, what: str, where: str) -> str:
    return f"{number or 'no'} {what}{'s' if number > 1 else ''} {where}"
