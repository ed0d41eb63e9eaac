"""The images of a study, or its patients, as the unit of its numbers: who can be one, and the groups of each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from harness.data.dataset import Dataset, Rows, place_of
from harness.data.folds import Fold
from harness.data.separation import Separation
from harness.errors import DataError
from harness.study import Study
from harness.study.unit import BY_IMAGE, Unit

SEVERAL = "several"  # the group of the patients whose images are in several groups of a column


def chosen_unit(study: Study, dataset: Dataset) -> Unit:
    """The unit that the study file names.

    Raises DataError where the images of patients cannot be combined: as there are more than two classes, or as one
    patient has several.
    """
    if study.combine != "mean" and len(dataset.classes) != 2:
        count = len(dataset.classes)
        words = f"{study.combine} combines probabilities of a positive class, and there are {count} classes"
        raise DataError(f"{words}; write combine: mean", ("combine",))
    if study.unit == "image":
        return BY_IMAGE
    unit = _patients(study, dataset)
    if unit.left_out:
        raise DataError(_several_classes(dataset, unit), ("unit",))
    return unit


def other_unit(study: Study, dataset: Dataset, shared: Separation) -> Unit | str | None:
    """The unit that the study file does not name, or why nothing can be said of it.

    None where there is nothing to say: patients are unknown, or torn apart by the folds, or each has one image.
    """
    if study.unit == "patient":
        return BY_IMAGE
    alone = not dataset.table.duplicated(["split", "patient"]).any()
    if not shared.known or not shared.grouped or alone:
        return None
    unit = _patients(study, dataset)
    without = _without(dataset, unit)
    return f"no patient has only images of {without}" if without else unit


def _patients(study: Study, dataset: Dataset) -> Unit:
    """The patients as the unit, without those who have images of several classes."""
    classes = dataset.table.groupby("patient")["label"].nunique()
    return Unit("patient", study.combine, dataset.positive, frozenset(classes.index[classes > 1]))


def _several_classes(dataset: Dataset, unit: Unit) -> str:
    """The line on patients who have images of several classes: the first of them, and what mends it."""
    table = dataset.table[dataset.table["patient"].isin(unit.left_out)]
    patient = table["patient"].iloc[0]
    images = table[table["patient"] == patient].drop_duplicates("label")
    shown = " and ".join(f"of {image['label']}, {place_of(image)}" for _, image in images.iterrows())
    count = len(unit.left_out)
    more = f", as {count - 1:,} more patients have" if count > 2 else ", as one more patient has" if count > 1 else ""
    return (
        f"patient {patient} has images {shown}{more}, and a patient is of one class: give all images of a patient the"
        " same label, or name what is of one class as the patient, such as an exam, or write unit: image"
    )


def _without(dataset: Dataset, unit: Unit) -> str | None:
    """A class of which no patient is left in a split that has images of it; None where there is none."""
    found = unit_dataset(dataset, unit)
    for split in dataset.splits:
        images, patients = (each.counts(each.rows(split)) for each in (dataset, found))
        for name, count in images.items():
            if count and not patients[name]:
                return name
    return None


def unit_dataset(dataset: Dataset, unit: Unit) -> Dataset:
    """The dataset with a row for each of the unit: a row for each patient in each split, the patient as `image`."""
    if not unit.patients:
        return dataset
    kept = dataset.table[~dataset.table["patient"].isin(unit.left_out)]
    rows = kept.drop_duplicates(["split", "patient"])
    return replace(dataset, table=rows.assign(image=rows["patient"]).reset_index(drop=True))


def unit_groups(groups: pd.DataFrame, dataset: Dataset, unit: Unit) -> pd.DataFrame:
    """The groups of each row of `unit_dataset`, from those of images.

    A patient whose images are in several groups of a column is in the group `several`.
    """
    if not unit.patients:
        return groups
    patients = unit_dataset(dataset, unit).table["patient"]
    columns = {name: _common(groups[name], dataset.table["patient"], patients) for name in groups}
    return pd.DataFrame(columns, index=pd.Index(patients, name="image"))


def _common(groups: pd.Series, of: pd.Series, patients: pd.Series) -> "pd.Categorical[str]":
    """The group that all images of a patient are in, or `several`, for each of these patients. of: of each image."""
    names = list(map(str, groups.cat.categories))
    codes = pd.Series(groups.cat.codes.to_numpy()).groupby(of.to_numpy()).agg(["min", "max"])
    found = codes["min"].where(codes["min"] == codes["max"], len(names)).loc[patients.to_numpy()].to_numpy()
    return pd.Categorical.from_codes(found, pd.Index([*names, *([SEVERAL] if (found == len(names)).any() else [])]))


def unit_validation(dataset: Dataset, folds: Sequence[Fold], unit: Unit) -> list[Rows]:
    """The validation rows of each fold in `unit_dataset`."""
    if not unit.patients:
        return [fold.validation for fold in folds]
    table = unit_dataset(dataset, unit).table
    of_fold = (set(dataset.table["patient"].iloc[fold.validation]) for fold in folds)
    return [np.flatnonzero((table["split"] == "train") & table["patient"].isin(found)) for found in of_fold]
