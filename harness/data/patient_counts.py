"""How many patients a rule finds, what is odd about them, and the words where no rule says who the patients are."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from harness.data.dataset import Dataset
from harness.study import Study
from harness.study.number_words import first_of

UNKNOWN = "patients unknown"
PATIENTS_UNKNOWN = f"{UNKNOWN}: each image counts as one; folds may split a patient"
MAX_CLASSES = 3  # in one sentence
SPLIT_WORDS = {"train": "training images", "test": "test images"}


@dataclass(frozen=True)
class PatientCounts:
    """The patients of the training images. patient: the one with the most images. example: an image of this patient."""

    images: int
    patients: int
    most: int
    patient: str
    example: str

    def __str__(self) -> str:
        return (
            f"{self.patients:,} in {self.images:,} training images, {self.images / self.patients:.1f} images each on"
            f" average, at most {self.most:,}, such as {self.patient} in {self.example}"
        )


@dataclass(frozen=True)
class PatientDoubt:
    """Why a rule may read the paths wrongly. name: of the finding of the audit."""

    name: str
    text: str


def count_patients(table: pd.DataFrame) -> PatientCounts:
    """Count the patients of the training images. table: with the columns image, split and patient, as a manifest."""
    train = table[table["split"] == "train"]
    sizes = train["patient"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    example = train.loc[train["patient"] == sizes.index[0], "image"].iloc[0]
    return PatientCounts(len(train), len(sizes), int(sizes.iloc[0]), str(sizes.index[0]), str(example))


def doubts(table: pd.DataFrame, source: str = "the rule") -> list[PatientDoubt]:
    """What is odd about the patients of a rule: one for each image, or one for a whole split or class.

    table: with the columns split, label and patient, as a manifest. source: what says who they are, in words.
    """
    return [*_alone(table, source), *_merged(table, source)]


def _alone(table: pd.DataFrame, source: str) -> Iterator[PatientDoubt]:
    train = table.loc[table["split"] == "train", "patient"]
    if len(train) > 1 and train.is_unique:
        where = "" if table["patient"].is_unique else " among the training images"
        yield PatientDoubt("patients-alone", f"{source} finds no patient with two images{where}")


def _merged(table: pd.DataFrame, source: str) -> Iterator[PatientDoubt]:
    for split, words in SPLIT_WORDS.items():
        rows = table[table["split"] == split]
        if len(rows) > 1 and rows["patient"].nunique() == 1:
            text = f"{source} finds one patient, {rows['patient'].iloc[0]}, in all {len(rows):,} {words}"
            yield PatientDoubt("patient-of-a-split", text)
            continue
        by_class = rows.groupby("label", sort=False)["patient"].agg(["size", "nunique", "first"])
        found = by_class[(by_class["nunique"] == 1) & (by_class["size"] > 1)]
        if len(found):
            named = [f"{row['first']} in all {row['size']:,} of {label}" for label, row in found.iterrows()]
            text = f"{source} finds one patient for a whole class of {words}: {first_of(named, MAX_CLASSES)}"
            yield PatientDoubt("patient-of-a-class", text)


def rule_words(study: Study) -> str:
    """The patient rule of a study file, as a sentence names it; empty where there is none."""
    source = study.data.patient_source
    if source is None:
        return ""
    scope = ", numbered separately in each class" if study.data.patient_scope == "class" else ""
    return f"the {'' if study.data.columns.patient is not None else 'rule '}{source}{scope}"


def grouping(study: Study) -> bool | str:
    """Whether the folds are grouped by patient, or that the patients are unknown."""
    return study.folds.grouped if study.data.patient_source is not None else UNKNOWN


def class_counts(dataset: Dataset) -> pd.DataFrame:
    """The numbers of images and patients by split and class; columns: split, label, images, patients (or `unknown`)."""
    table = dataset.table.groupby(["split", "label"], sort=False)
    frame = table.agg(images=("image", "size"), patients=("patient", "nunique")).reset_index()
    known = [dataset.patients_known(split) for split in frame["split"]]
    counts = [count if sure else "unknown" for count, sure in zip(frame["patients"].tolist(), known, strict=True)]
    return frame.assign(patients=counts)
