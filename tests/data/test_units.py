"""The patients of a study as the rows of its tables: their classes, splits, folds and groups."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.dataset import Dataset
from harness.data.folds import Fold
from harness.data.separation import separation
from harness.data.units import SEVERAL, chosen_unit, other_unit, unit_dataset, unit_groups, unit_validation
from harness.errors import DataError
from harness.study import Study
from harness.study.unit import BY_IMAGE, Unit

TEXT = "study: s\ndata: {source: phantom}\nbase: {backbone: resnet18}\nstages: [{name: only}]\n"
MEAN = Unit("patient", positive="ILL")

TABLE = pd.DataFrame(
    [
        ("1", "train", "ILL", "a", "F", "AP"), ("2", "train", "ILL", "a", "F", "PA"),
        ("3", "train", "WELL", "b", "M", "PA"), ("4", "train", "ILL", "c", "F", "PA"),
        ("5", "train", "WELL", "d", "M", "AP"), ("6", "train", "WELL", "d", "M", "AP"),
        ("7", "test", "WELL", "e", "F", "PA"), ("8", "test", "ILL", "a", "F", "PA"),
    ],
    columns=["image", "split", "label", "patient", "sex", "view"],
)  # fmt: skip
DATASET = Dataset(
    Path(), TABLE.assign(sha256=TABLE["image"]), ("ILL", "WELL"), "ILL", False, patient_rule="pid",
    metadata=("sex", "view"),
)  # fmt: skip
GROUPS = TABLE[["sex", "view"]].astype("category").set_index(TABLE["image"])
FOLDS = [Fold(0, 0, np.array([0, 1, 2]), np.array([3, 4, 5])), Fold(0, 1, np.array([3, 4, 5]), np.array([0, 1, 2]))]
BOTH = replace(DATASET, table=DATASET.table.replace({"patient": {"c": "b"}}))  # one patient is ill and well


@pytest.fixture
def study(study_of: Callable[..., Study]) -> Study:
    return study_of(TEXT)


def test_a_patient_is_a_row_of_each_split_that_it_is_in() -> None:
    table = unit_dataset(DATASET, MEAN).table
    rows = [("a", "train"), ("b", "train"), ("c", "train"), ("d", "train"), ("e", "test"), ("a", "test")]
    assert list(zip(table["image"], table["split"], strict=True)) == rows
    assert table["image"].equals(table["patient"])
    counted = unit_dataset(DATASET, MEAN)
    assert counted.counts(counted.rows("train")) == {"ILL": 2, "WELL": 2}
    assert unit_dataset(DATASET, BY_IMAGE) is DATASET
    assert set(unit_dataset(DATASET, replace(MEAN, left_out=frozenset("d"))).table["image"]) == set("abce")


def test_a_patient_is_in_the_group_of_all_its_images_or_in_several() -> None:
    groups = unit_groups(GROUPS, DATASET, MEAN)
    assert groups.index.tolist() == ["a", "b", "c", "d", "e", "a"]
    assert groups["sex"].tolist() == ["F", "M", "F", "M", "F", "F"]
    assert groups["sex"].cat.categories.tolist() == ["F", "M"]
    assert groups["view"].tolist() == [SEVERAL, "PA", "PA", "AP", "PA", SEVERAL]
    assert groups["view"].cat.categories.tolist() == ["AP", "PA", SEVERAL]
    assert unit_groups(GROUPS, DATASET, BY_IMAGE) is GROUPS


def test_the_patients_that_a_fold_validates_on_are_those_of_its_images() -> None:
    assert [rows.tolist() for rows in unit_validation(DATASET, FOLDS, MEAN)] == [[2, 3], [0, 1]]
    assert unit_validation(DATASET, FOLDS, BY_IMAGE)[0].tolist() == [3, 4, 5]


def test_the_other_unit_of_a_study_by_image_is_the_patient_where_there_is_something_to_say(study: Study) -> None:
    def other(dataset: Dataset, of: Study = study) -> Unit | str | None:
        return other_unit(of, dataset, separation(of, dataset, FOLDS))

    assert chosen_unit(study, DATASET) == BY_IMAGE
    assert other(DATASET) == Unit("patient", "mean", "ILL")
    assert other(BOTH) == Unit("patient", "mean", "ILL", frozenset("b"))
    assert other(replace(DATASET, patient_rule=None)) is None
    single = replace(DATASET, table=DATASET.table.drop_duplicates(["split", "patient"], ignore_index=True))
    assert other_unit(study, single, separation(study, single, [])) is None, "each patient has one image"
    apart = study.model_copy(update={"folds": study.folds.model_copy(update={"grouped": False})})
    assert other(DATASET, apart) is None
    nobody = replace(DATASET, table=DATASET.table.assign(label=["ILL", "WELL"] * 4))
    assert other(nobody) == "no patient has only images of WELL"
    healthy = DATASET.table["split"].eq("train") | DATASET.table["label"].eq("WELL")
    of_one_class = replace(DATASET, table=DATASET.table[healthy].reset_index(drop=True))
    assert other(of_one_class) == Unit("patient", "mean", "ILL"), "nor are there images of it in the test split"


def test_the_patient_leads_where_each_has_one_class(study: Study) -> None:
    by_patient = study.model_copy(update={"unit": "patient", "combine": "max"})
    assert chosen_unit(by_patient, DATASET) == Unit("patient", "max", "ILL")
    assert other_unit(by_patient, DATASET, separation(by_patient, DATASET, FOLDS)) == BY_IMAGE
    with pytest.raises(DataError) as refused:
        chosen_unit(by_patient, BOTH)
    assert str(refused.value).startswith("patient b has images of WELL, 3 and of ILL, 4, and a patient is of one class")
    assert refused.value.field == ("unit",)
