"""Resampling: copies and synthetic images stem from the training images of a fold, and from nothing else."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import NearMiss, TomekLinks

from harness.data.resampling import NEIGHBOURS, Resampled, oversample, resample
from harness.errors import HarnessError, StudyError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from harness.study.allowed import SYNTHESIS
from harness.study.settings import Settings

labelled_rows = st.lists(st.integers(0, 2), min_size=1, max_size=60).map(
    lambda labels: (np.random.default_rng(len(labels)).permutation(500)[: len(labels)], np.array(labels))
)


@given(labelled_rows, st.integers(0, 2**31 - 1))
def test_oversampling_keeps_every_row_adds_only_copies_and_makes_the_classes_equal(
    given_rows: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], seed: int
) -> None:
    rows, labels = given_rows
    sampled = oversample(rows, labels, "random", seed)
    assert set(sampled) == set(rows)
    assert not Counter(rows.tolist()) - Counter(sampled.tolist())
    label_of = dict(zip(rows.tolist(), labels.tolist(), strict=True))
    counts = Counter(label_of[row] for row in sampled.tolist())
    assert set(counts.values()) == {max(Counter(labels.tolist()).values())}
    np.testing.assert_array_equal(sampled, oversample(rows, labels, "random", seed))


@given(labelled_rows, st.floats(0.01, 1.0), st.integers(0, 2**31 - 1))
def test_oversampling_to_a_ratio_raises_the_smaller_classes_to_it_and_touches_no_other(
    given_rows: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], ratio: float, seed: int
) -> None:
    rows, labels = given_rows
    label_of = dict(zip(rows.tolist(), labels.tolist(), strict=True))
    before = Counter(labels.tolist())
    sampled = oversample(rows, labels, "random", seed, ratio)
    after = Counter(label_of[row] for row in sampled.tolist())
    largest = max(before.values())
    assert after == {label: max(count, round(ratio * largest)) for label, count in before.items()}
    assert not Counter(rows.tolist()) - Counter(sampled.tolist())


@given(labelled_rows)
def test_without_oversampling_the_rows_stay_as_they_are(
    given_rows: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> None:
    np.testing.assert_array_equal(oversample(*given_rows, "none", 0), given_rows[0])


def test_the_seed_decides_which_rows_are_repeated() -> None:
    rows, labels = np.arange(100, 160), np.array([0] * 20 + [1] * 40)
    first, second = (Counter(oversample(rows, labels, "random", seed).tolist()) for seed in (1, 2))
    assert first != second
    assert all(first[row] == second[row] == 1 for row in range(120, 160))


# Two classes of training images whose vectors overlap; all other images are far away.
RNG = np.random.default_rng(0)
ROWS, LABELS = np.arange(10, 70), np.array([0] * 20 + [1] * 40)
VECTORS = np.full((100, 3), 1e6, np.float32)
VECTORS[ROWS] = RNG.normal(size=(60, 3)) + LABELS[:, None]


def settings_of(**values: Any) -> Settings:
    return Settings(backbone="test_resnet", trainable="head", head="linear", **values)


def resampled(seed: int = 0, **values: Any) -> Resampled:
    return resample(ROWS, LABELS, settings_of(**values), seed, lambda rows: VECTORS[rows])


def counts_of(found: Resampled) -> list[int]:
    """The images of each class, real and synthetic."""
    counts: list[int] = np.bincount(np.concatenate([LABELS[found.rows - 10], found.labels])).tolist()
    return counts


@pytest.mark.parametrize("method", SYNTHESIS)
def test_synthetic_images_lie_between_training_images_of_their_class(method: str) -> None:
    found = resampled(oversampling=method)
    assert len(found.labels) and {*found.rows.tolist()} <= {*ROWS.tolist()}
    for vector, label in zip(found.vectors.astype(np.float64), found.labels, strict=True):
        ends = VECTORS[ROWS[label == LABELS]].astype(np.float64)
        between = ends[None] - ends[:, None]  # from each image to each other one of its class
        length = (between**2).sum(axis=2)
        at = ((vector - ends)[:, None] * between).sum(axis=2) / np.where(length > 0, length, 1)
        nearest = ends[:, None] + at.clip(0, 1)[..., None] * between
        assert np.abs(nearest - vector).max(axis=2).min() < 1e-5
    again, other = resampled(oversampling=method), resampled(seed=1, oversampling=method)
    np.testing.assert_array_equal(found.vectors, again.vectors)
    assert found.vectors.shape != other.vectors.shape or not np.array_equal(found.vectors, other.vectors)


@pytest.mark.parametrize(("method", "sampler"), [("smote", SMOTE), ("smoteenn", SMOTEENN), ("smotetomek", SMOTETomek)])
def test_it_is_what_imbalanced_learn_makes(method: str, sampler: Callable[..., Any]) -> None:
    found = resampled(seed=5, oversampling=method)
    vectors, labels = sampler(random_state=5).fit_resample(VECTORS[ROWS], LABELS)
    ours = np.concatenate([VECTORS[found.rows], found.vectors]), np.r_[LABELS[found.rows - 10], found.labels]
    for label in (0, 1):
        assert sorted(ours[0][ours[1] == label].tolist()) == sorted(vectors[labels == label].tolist())


def test_smote_to_a_ratio_adds_as_many_images_as_are_missing() -> None:
    assert counts_of(resampled(oversampling="smote", oversampling_ratio=0.75)) == [30, 40]
    found = resampled(oversampling="smote")
    assert counts_of(found) == [40, 40] and found.labels.tolist() == [0] * 20
    np.testing.assert_array_equal(found.rows, ROWS)


@pytest.mark.parametrize(("method", "sampler"), [("near-miss", NearMiss()), ("tomek", TomekLinks())])
def test_undersampling_leaves_out_the_images_that_imbalanced_learn_does(method: str, sampler: Any) -> None:
    found = resampled(undersampling=method)
    sampler.fit_resample(VECTORS[ROWS], LABELS)
    assert {*found.rows.tolist()} == {*ROWS[sampler.sample_indices_].tolist()} < {*ROWS.tolist()}
    assert not len(found.labels)


def test_random_undersampling_needs_no_vectors_and_keeps_the_smallest_class() -> None:
    settings = settings_of(undersampling="random")
    found = resample(ROWS, LABELS, settings, 0)
    assert counts_of(found) == [20, 20] and len({*found.rows.tolist()}) == 40
    assert not np.array_equal(found.rows, resample(ROWS, LABELS, settings, 1).rows)


@pytest.mark.parametrize("undersampling", ["random", "near-miss"])
def test_undersampling_follows_oversampling(undersampling: str) -> None:
    found = resampled(oversampling="smote", oversampling_ratio=0.75, undersampling=undersampling)
    assert counts_of(found) == [30, 30] and found.labels.tolist() == [0] * 10
    copies = resampled(oversampling="random", oversampling_ratio=0.75, undersampling="random")
    assert counts_of(copies) == [30, 30] and not len(copies.labels)


def test_several_classes_are_brought_to_the_largest() -> None:
    labels = np.array([0] * 8 + [1] * 12 + [2] * 40)
    found = resample(ROWS, labels, settings_of(oversampling="smote"), 0, lambda rows: VECTORS[rows])
    assert (np.bincount(labels) + np.bincount(found.labels, minlength=3)).tolist() == [40, 40, 40]


def test_any_sampler_of_imbalanced_learn_can_be_named() -> None:
    made = resampled(oversampling="imblearn.over_sampling:SVMSMOTE")
    assert counts_of(made)[0] > 20 and len(made.labels)
    left_out = resampled(oversampling="imblearn.under_sampling:CondensedNearestNeighbour")
    assert len(left_out.rows) < 60 and not len(left_out.labels)


def test_what_a_sampler_cannot_do_is_said_in_a_line() -> None:
    few = np.array([0] * 3 + [1] * 57)
    with pytest.raises(HarnessError, match=r"^smote cannot be used on these training images: .*neighbors"):
        resample(ROWS, few, settings_of(oversampling="smote"), 0, lambda rows: VECTORS[rows])


FROZEN = ("test=null", "base.trainable=head")


def linear(small_study: Callable[..., Study], grid: str, *overrides: str) -> Study:
    stages = f"stages=[{{name: a, grid: {grid}}}]"
    return small_study(*FROZEN, "base.head=linear", stages, *overrides)


@pytest.mark.parametrize(
    ("grid", "overrides", "message"),
    [
        ("{oversampling: [smote]}", ["base.trainable=all"], "trainable all: oversampling smote compares images"),
        ("{oversampling: [smote]}", ["base.head=dropout-gap"], "pool map .head dropout-gap.: oversampling smote"),
        ("{undersampling: [tomek]}", ["base.trainable=last-1"], "trainable last-1: undersampling tomek compares"),
        ("{oversampling: [adasyn]}", ["base.backbone=small-cnn"], "backbone small-cnn: oversampling adasyn"),
        ("{oversampling: [smoteenn], undersampling: [random]}", [], "undersampling random with oversampling smoteenn"),
        ("{oversampling: [random-before-split], undersampling: [random]}", [], "undersampling random with"),
        ("{oversampling: ['imblearn.over_sampling:SVMSMOTE']}", ["base.oversampling_ratio=0.5"], "oversampling_ratio"),
    ],
)
def test_what_cannot_be_combined_is_refused_in_a_line(
    small_study: Callable[..., Study], grid: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(StudyError, match=message) as refused:
        linear(small_study, grid, *overrides)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("oversampling", "message"),
    [
        ("imblearn.over_sampling:NoSuch", "is no sampler of imbalanced-learn"),
        ("imblearn.no_such:SMOTE", "is no sampler of imbalanced-learn"),
        ("imblearn.pipeline:Pipeline", "is no sampler of imbalanced-learn"),
        ("smote", f"its {NEIGHBOURS} nearest of its class; a fold trains on [2-5] of NORMAL"),
    ],
)
def test_a_sampler_that_cannot_be_used_is_refused_by_the_plan(
    small_study: Callable[..., Study], store: Store, oversampling: str, message: str
) -> None:
    study = linear(small_study, f"{{oversampling: [none, '{oversampling}']}}", "data.phantom.train=20")
    with pytest.raises(HarnessError, match=message) as refused:
        prepare(study, store)
    assert "\n" not in str(refused.value)
