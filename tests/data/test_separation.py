"""Sentences about patients say what was counted, and nothing of what nobody can know."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.data.dataset import Dataset
from harness.data.folds import Fold, folds_json, make_folds
from harness.data.manifest import read_dataset
from harness.data.patient_counts import PATIENTS_UNKNOWN, doubts
from harness.data.separation import Separation, oversampling_words, separation
from harness.study import Study
from harness.study.data_block import Data
from harness.study.fold_protocol import Folds
from harness.study.settings import Settings
from tests.conftest import PATIENT
from tests.data.test_folds import make_dataset

StudyOf = Callable[..., Study]
SHARED = [("A", 2)] * 6 + [("B", 2)] * 6
ALONE = [("A", 1)] * 6 + [("B", 1)] * 6


def found(study: Study, dataset: Dataset) -> Separation:
    return separation(study, dataset, make_folds(dataset, study.folds))


def test_with_a_rule_the_folds_say_how_many_patients_were_looked_for(small_study: StudyOf) -> None:
    words = found(small_study(), make_dataset(SHARED)).of_folds
    assert words == "grouped by patient: 0 of 12 patients on both sides of any fold (checked)"


def test_folds_that_are_not_grouped_say_how_many_patients_they_split(small_study: StudyOf) -> None:
    dataset, study = make_dataset(SHARED), small_study("folds.grouped=false")
    folds = make_folds(dataset, Folds(k=2, grouped=False))
    patients = dataset.table["patient"]
    torn = set().union(*({*patients[f.train]} & {*patients[f.validation]} for f in folds))
    assert torn
    words = separation(study, dataset, folds).of_folds
    assert words == f"NOT grouped by patient: {len(torn)} of 12 patients on both sides of any fold (checked)"


def test_without_a_rule_nothing_is_said_to_be_checked_of_patients(small_study: StudyOf) -> None:
    dataset = replace(make_dataset(ALONE), patient_rule=None)
    said = found(small_study(), dataset)
    assert said.of_folds == PATIENTS_UNKNOWN
    assert (said.patients, said.folds.patients, said.unit) == (None, None, "images")
    folds = make_folds(dataset, Folds(k=2))
    assert all(fold["shared_patients"] is None for fold in folds_json(dataset, folds, "")["folds"])


def test_without_a_rule_and_grouping_identical_files_may_stand_on_both_sides(small_study: StudyOf) -> None:
    dataset = replace(make_dataset(ALONE, twins=1), patient_rule=None)
    torn = Fold(0, 0, dataset.rows("train")[::2], dataset.rows("train")[1::2])
    words = separation(small_study("folds.grouped=false"), dataset, [torn]).of_folds
    assert words == f"{PATIENTS_UNKNOWN}; 1 identical file on both sides of a fold"


def test_a_rule_by_which_every_image_is_its_own_patient_is_told(small_study: StudyOf) -> None:
    said = found(small_study(), make_dataset(ALONE))
    doubts = "patients doubtful: the rule finds no patient with two images"
    assert said.of_folds == f"{doubts}; grouped by this rule: 0 of 12 patients on both sides of any fold (checked)"
    assert said.of_images == " of 12 patients by a doubtful rule"
    assert not said.sound
    assert said.facts()["doubts"] == ("the rule finds no patient with two images",)


def test_facts_claim_no_grouping_where_patients_are_unknown(small_study: StudyOf) -> None:
    known = found(small_study(), make_dataset(SHARED))
    assert (known.facts()["grouped"], known.facts()["patients"]) == (True, 12)
    assert "patients by the rule phantom: 12 in 24 training images, 2.0 images each" in known.of_rule
    unknown = found(small_study(), replace(make_dataset(ALONE), patient_rule=None))
    assert (unknown.facts()["grouped"], unknown.facts()["of_rule"]) == (None, PATIENTS_UNKNOWN)


ROWS = {  # (split, class, patient) of the images -> the doubts
    "two images of each patient": ([("train", c, f"{c}{n // 2}") for c in "AB" for n in range(6)], []),
    "two classes of one patient": (
        [("train", c, c) for c in "AB" for _ in range(4)] + [("train", "C", f"{n // 2}") for n in range(4)],
        [
            "the rule finds one patient for a whole class of training images: A in all 4 of A, B in all 4 of B",
        ],
    ),
    "one patient in training": (
        [("train", c, "x") for c in "AB" for _ in range(2)],
        ["the rule finds one patient, x, in all 4 training images"],
    ),
    "one in test": (
        [("train", "A", f"{n // 2}") for n in range(4)] + [("test", "A", "t")] * 3,
        ["the rule finds one patient, t, in all 3 test images"],
    ),
    "alone in training": (
        [("train", "A", f"{n}") for n in range(4)] + [("test", "A", f"t{n // 2}") for n in range(4)],
        ["the rule finds no patient with two images among the training images"],
    ),
    "one image of a class": ([("train", "A", "a"), ("train", "B", "b"), ("train", "B", "b"), ("train", "B", "c")], []),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_rule_is_doubted_that_gives_one_patient_to_each_image_or_to_a_whole_class_or_split(case: str) -> None:
    rows, expected = ROWS[case]
    table = pd.DataFrame(rows, columns=["split", "label", "patient"])
    assert [doubt.text for doubt in doubts(table)] == expected


@pytest.mark.parametrize(
    ("patient", "accept", "expected"),
    [
        (PATIENT, "[]", "0 of 4 test patients in training too, no identical file in training and in test (checked)"),
        (None, "[]", "no identical file in training and in test (checked); patients unknown"),
        (
            r"(?P<patient>[AB]\d+)-",
            "[patient-across-splits]",
            "4 of 4 test patients in training too (accepted by name: patient-across-splits), no identical file in"
            " training and in test (checked)",
        ),
        (
            PATIENT,
            "[near-duplicate-across-splits]",
            "0 of 4 test patients in training too, no identical file in training and in test (checked); nearly"
            " identical images in both are accepted (near-duplicate-across-splits)",
        ),
    ],
)
def test_training_and_test_say_what_they_share_and_what_was_accepted(
    image_folder: Path, small_study: StudyOf, patient: str | None, accept: str, expected: str
) -> None:
    study = small_study(f"audit.accept={accept}")
    dataset = read_dataset(image_folder, Data(source="folder", patient=patient), study.audit.accept)
    assert found(study, dataset).of_splits == expected


def test_an_identical_file_that_was_accepted_is_counted(image_folder: Path, small_study: StudyOf) -> None:
    (image_folder / "test/A/teA9-0.png").write_bytes((image_folder / "train/A/trA0-0.png").read_bytes())
    study = small_study("audit.accept=[duplicate-across-splits]")
    dataset = read_dataset(image_folder, Data(source="folder"), study.audit.accept)
    expected = "1 identical file in training and in test (accepted by name: duplicate-across-splits) (checked)"
    assert found(study, dataset).of_splits == f"{expected}; patients unknown"


MADE = "resampling copies, leaves out and makes images of training images only, and scores none that it made"


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (["none"], "no scenario oversamples"),
        (["none", "random"], "oversampling copies training images only"),
        (["random", "smote"], MADE),
        (["imblearn.under_sampling:ClusterCentroids"], MADE),
        (
            ["mine:Sampler"],
            "oversampling draws from training images only, in some scenarios by a sampler of the user's own",
        ),
        (
            ["random", "random-before-split"],
            "1 of 2 scenarios oversamples BEFORE THE SPLIT: copies of its validation images are in training",
        ),
    ],
)
def test_oversampling_is_said_to_see_training_images_alone_only_where_it_does(
    small_study: StudyOf, levels: list[str], expected: str
) -> None:
    base = small_study().base
    assert oversampling_words(base.model_copy(update={"oversampling": level}) for level in levels) == expected


def test_undersampling_alone_is_said_to_leave_out_training_images() -> None:
    settings = Settings(backbone="resnet18", undersampling="random")
    assert oversampling_words([settings]) == "undersampling leaves out training images only"
