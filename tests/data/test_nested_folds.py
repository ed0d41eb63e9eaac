"""Outer folds, and the study's folds within the rest of each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.dataset import Dataset
from harness.data.folds import make_folds
from harness.data.manifest import read_dataset
from harness.data.nested_folds import NestedFolds, nested_folds, nested_json, nested_of
from harness.errors import DataError, StudyError
from harness.study import Study
from tests.conftest import PATIENT, draw_patients

STUDY = """\
study: nested
data: {{source: folder, path: {root}, patient: '{patient}', image_size: 32}}
folds: {{k: 2, repeats: 2}}
base: {{backbone: majority, weights: none}}
stages:
  - {{name: first, grid: {{backbone: [majority, som]}}, select: {{nested: 3}}}}
"""


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Two images of each of 18 patients of class A and 12 of class B, and a test set."""
    return draw_patients(tmp_path / "images", {"train/A": 36, "train/B": 24, "test/A": 4, "test/B": 4})


def _study(study_of: Callable[..., Study], root: Path, *overrides: str) -> Study:
    return study_of(STUDY.format(root=root, patient=PATIENT), *overrides)


def _made(study: Study, root: Path) -> tuple[Dataset, NestedFolds]:
    dataset = read_dataset(root, study.data)
    (nested,) = nested_folds(study, dataset)
    return dataset, nested


def test_no_image_of_an_outer_fold_is_in_the_folds_of_the_rest(study_of: Callable[..., Study], many: Path) -> None:
    dataset, nested = _made(_study(study_of, many), many)
    seen = np.concatenate([fold.outer.validation for fold in nested.folds])
    assert sorted(seen) == dataset.rows("train").tolist(), "each training image is in one outer fold"
    patients = dataset.table["patient"].to_numpy()
    for fold in nested.folds:
        rest = sorted(fold.outer.train)
        assert len(fold.inner) == 4, "two folds, twice"
        for inner in fold.inner:
            assert sorted([*inner.train, *inner.validation]) == rest
            assert not set(patients[rest]) & set(patients[fold.outer.validation])
            assert not set(patients[inner.train]) & set(patients[inner.validation])


def test_as_many_outer_folds_as_folds_are_those_of_the_first_repeat(study_of: Callable[..., Study], many: Path) -> None:
    study = _study(study_of, many, "stages.0.select.nested=2")
    dataset, nested = _made(study, many)
    first = make_folds(dataset, study.folds)[:2]
    assert [f.validation.tolist() for f in nested.outer] == [f.validation.tolist() for f in first]


def test_a_record_gives_the_folds_back(study_of: Callable[..., Study], many: Path) -> None:
    dataset, nested = _made(_study(study_of, many), many)
    (again,) = nested_of(nested_json(dataset, [nested]), dataset)
    assert again.digests(dataset) == nested.digests(dataset)


def test_too_many_outer_folds_are_refused_at_their_line(study_of: Callable[..., Study], many: Path) -> None:
    study = _study(study_of, many, "stages.0.select.nested=13")
    with pytest.raises(DataError, match=r"nested=13.*: 13 folds need at least 13 patients of each class; B has 12"):
        _made(study, many)
    study = _study(study_of, many, "stages.0.select.nested=3", "folds.k=9")
    with pytest.raises(DataError, match="without outer fold 0 of 3, 9 folds need at least 9 patients of each class"):
        _made(study, many)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("stages.0.select.nested=1", "greater than or equal to 2|at least 2|2 or more"),
        ("stages.0.select.nested=yes", "integer|whole number"),
    ],
)
def test_what_is_no_number_of_outer_folds_is_refused(
    study_of: Callable[..., Study], many: Path, option: str, words: str
) -> None:
    with pytest.raises(StudyError, match=words):
        _study(study_of, many, option)
