"""Shares of the training images: nested, of whole patients, of every class; too small ones are refused at plan."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.dataset import Dataset
from harness.data.train_share import joins_at, share_of
from harness.errors import DataError, StudyError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from tests.data.test_folds import datasets, make_dataset

SHARES = (0.1, 0.25, 0.5, 0.9, 1.0)


@given(datasets(), st.integers(0, 9))
def test_a_smaller_share_is_within_a_larger_one_and_patients_are_whole(dataset: Dataset, seed: int) -> None:
    rows = dataset.rows("train")
    shares = [share_of(dataset, rows, share, seed) for share in SHARES]
    for smaller, larger in pairwise(shares):
        assert np.isin(smaller, larger).all()
    for found in shares:
        left = np.setdiff1d(rows, found)
        assert not np.intersect1d(dataset.groups[found], dataset.groups[left]).size
        assert (np.diff(found) > 0).all(), "in their order"
    assert shares[-1].tolist() == rows.tolist()


@given(datasets(), st.integers(0, 9), st.sampled_from(SHARES))
def test_every_class_has_its_share_as_far_as_whole_patients_allow(dataset: Dataset, seed: int, share: float) -> None:
    rows = dataset.rows("train")
    found = share_of(dataset, rows, share, seed)
    groups = [dataset.labels[rows][dataset.groups[rows] == group] for group in np.unique(dataset.groups[rows])]
    if any(len(set(labels)) > 1 for labels in groups):  # a linked patient of two classes counts as one
        return
    for index in range(len(dataset.classes)):
        largest = max(len(labels) for labels in groups if labels[0] == index)
        apart = (dataset.labels[found] == index).sum() - share * (dataset.labels[rows] == index).sum()
        assert abs(apart) <= largest / 2 + 1e-9


def test_another_seed_draws_other_patients() -> None:
    dataset = make_dataset([("A", 2)] * 30 + [("B", 1)] * 10)
    rows = dataset.rows("train")
    drawn = [share_of(dataset, rows, 0.3, seed).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == len(drawn[2]) == 21


def test_a_patient_of_two_classes_counts_as_one_of_the_rarer() -> None:
    dataset = make_dataset([("A", 2)] * 8 + [("B", 2)] * 2, twins=0)
    dataset.table.loc[16:17, "patient"] = "p0"  # images of B now are of a patient with images of A
    joins = joins_at(dataset, dataset.rows("train"), seed=0)
    assert joins[0] == joins[16] in (0.25, 0.5, 0.75, 1 / 3, 2 / 3, 5 / 6)
    assert (np.unique(joins[2:16]) == (np.arange(7) + 0.5) / 7).all(), "the seven patients of A alone"


GRID = "stages.0.grid={train_share: [0.02, 1.0]}"


@pytest.mark.parametrize(
    ("overrides", "field"),
    [((GRID,), r"stages\[0\]\.grid\.train_share\[0\]"), (("base.train_share=0.02",), r"base\.train_share")],
)
def test_a_share_that_leaves_a_class_without_images_is_refused_at_plan(
    small_study: Callable[..., Study], store: Store, overrides: tuple[str, ...], field: str
) -> None:
    wanted = rf"{field}: 0\.02 of the training images of .*, fold \d has none of NORMAL, in whole patients; from "
    with pytest.raises(DataError, match=wanted) as refused:
        prepare(small_study(*overrides), store)
    least = float(str(refused.value).partition("from ")[2].split()[0])
    prepare(small_study(f"base.train_share={least}"), store)
    with pytest.raises(DataError, match="has none of"):
        prepare(small_study(f"base.train_share={least - 0.001:.3f}"), store)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (("base.train_share=0",), "train_share: 0 is .*0"),
        (("base.train_share=1.5",), "train_share: 1.5 is .*1"),
        (("base.train_share=0.5", "base.oversampling=random-before-split"), "that leak is measured on whole folds"),
        (("search={space: {train_share: {low: 0.1, high: 1.0}}}",), "a learning curve is no search"),
    ],
)
def test_what_cannot_be_a_share_is_one_line(
    small_study: Callable[..., Study], overrides: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(StudyError, match=problem) as refused:
        small_study("stages=[{name: one}]", "test=null", *overrides)
    assert "\n" not in str(refused.value)


def test_folders_without_patients_are_cut_by_image() -> None:
    dataset = make_dataset([("A", 1)] * 12 + [("B", 1)] * 8)
    found = share_of(dataset, dataset.rows("train"), 0.5, seed=3)
    assert dataset.counts(found) == {"A": 6, "B": 4}
