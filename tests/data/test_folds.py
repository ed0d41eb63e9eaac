from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.data.dataset import Dataset
from harness.data.folds import Fold, check_fold, fold_digests, folds_json, make_folds
from harness.data.manifest import read_dataset
from harness.errors import DataError, LeakageError
from harness.study.data_block import Data
from harness.study.fold_protocol import Folds


def make_dataset(patients: list[tuple[str, int]], twins: int = 0) -> Dataset:
    """A dataset of patients (class, images), and as many pairs of patients with an identical file as `twins`."""
    rows = [
        {"label": label, "patient": f"p{number}", "sha256": f"{number}-{i}"}
        for number, (label, images) in enumerate(patients)
        for i in range(images)
    ]
    table = pd.DataFrame(rows)
    for number in range(twins):
        table.loc[table["sha256"] == f"{2 * number}-0", "sha256"] = f"{2 * number + 1}-0"
    table.insert(0, "image", [f"train/{row['label']}/{i:04d}.png" for i, row in enumerate(rows)])
    table["split"] = "train"
    classes = tuple(sorted(set(table["label"])))
    return Dataset(Path(), table, classes, None, synthetic=False, patient_rule="(?P<patient>p[0-9]+)")


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Two or three classes of 6 to 40 patients with 1 to 4 images, some pairs of patients linked by an equal file."""
    classes = draw(st.sampled_from(["AB", "ABC"]))
    sizes = {c: draw(st.lists(st.integers(1, 4), min_size=6, max_size=40)) for c in classes}
    patients = [(c, size) for c in classes for size in sizes[c]]
    return make_dataset(patients, draw(st.integers(0, 2)))


protocols = st.builds(
    Folds, k=st.integers(2, 4), repeats=st.integers(1, 3), grouped=st.booleans(), seed=st.integers(0, 5)
)


def folds_or_discard(dataset: Dataset, spec: Folds) -> list[Fold]:
    """The folds, or another example: grouping may leave a class out of a fold, which is an error of its own."""
    try:
        return make_folds(dataset, spec)
    except LeakageError:
        raise
    except DataError:
        assume(False)
        raise


@given(datasets(), protocols)
def test_every_training_image_is_validated_exactly_once_in_each_repeat(dataset: Dataset, spec: Folds) -> None:
    folds = folds_or_discard(dataset, spec)
    assert [(f.repeat, f.fold) for f in folds] == [(r, f) for r in range(spec.repeats) for f in range(spec.k)]
    everything = dataset.rows("train").tolist()
    for repeat in range(spec.repeats):
        of_repeat = [fold for fold in folds if fold.repeat == repeat]
        assert sorted(np.concatenate([fold.validation for fold in of_repeat])) == everything
        for fold in of_repeat:
            assert sorted([*fold.train, *fold.validation]) == everything


@given(datasets(), protocols)
def test_no_group_stands_on_both_sides_and_every_class_stands_on_each(dataset: Dataset, spec: Folds) -> None:
    for fold in folds_or_discard(dataset, spec):
        if spec.grouped:
            assert not set(dataset.groups[fold.train]) & set(dataset.groups[fold.validation])
            hashes, patients = dataset.table["sha256"], dataset.table["patient"]
            assert not set(hashes[fold.train]) & set(hashes[fold.validation])
            assert not set(patients[fold.train]) & set(patients[fold.validation])
        for rows in (fold.train, fold.validation):
            assert set(dataset.labels[rows]) == set(range(len(dataset.classes)))


@given(datasets(), protocols)
def test_class_rates_are_near_equal_in_all_folds(dataset: Dataset, spec: Folds) -> None:
    counts = [Counter(dataset.labels[fold.validation].tolist()) for fold in folds_or_discard(dataset, spec)]
    slack = 2 * int(np.bincount(dataset.groups).max()) if spec.grouped else 1
    for label, total in Counter(dataset.labels.tolist()).items():
        assert all(abs(count[label] - total / spec.k) <= slack for count in counts)


@given(datasets(), protocols)
def test_folds_are_the_same_for_the_same_seed(dataset: Dataset, spec: Folds) -> None:
    first, second = folds_or_discard(dataset, spec), make_folds(dataset, spec)
    assert fold_digests(dataset, first) == fold_digests(dataset, second)
    longer = folds_or_discard(dataset, spec.model_copy(update={"repeats": spec.repeats + 1}))
    assert fold_digests(dataset, first).items() <= fold_digests(dataset, longer).items()


@pytest.mark.parametrize("grouped", [True, False])
def test_other_seeds_and_other_repeats_shuffle_otherwise(grouped: bool) -> None:
    dataset = make_dataset([("A", 2)] * 20 + [("B", 2)] * 20)
    spec = Folds(k=3, repeats=2, grouped=grouped)
    digests = fold_digests(dataset, make_folds(dataset, spec))
    other = fold_digests(dataset, make_folds(dataset, spec.model_copy(update={"seed": 1})))
    assert len(set(digests.values()) | set(other.values())) == 12


@pytest.mark.filterwarnings("error")
def test_ungrouped_folds_are_made_without_a_warning() -> None:
    make_folds(make_dataset([("A", 1)] * 6 + [("B", 1)] * 6), Folds(grouped=False))


def test_ungrouped_folds_do_split_patients() -> None:
    dataset = make_dataset([("A", 4)] * 10 + [("B", 4)] * 10)
    fold = make_folds(dataset, Folds(grouped=False))[0]
    assert set(dataset.groups[fold.train]) & set(dataset.groups[fold.validation])


@given(datasets(), st.integers(2, 60), st.booleans())
def test_more_folds_than_a_class_has_members_are_refused_or_every_fold_has_it(
    dataset: Dataset, k: int, grouped: bool
) -> None:
    units = {
        name: len(set(dataset.groups[dataset.labels == i])) if grouped else int((dataset.labels == i).sum())
        for i, name in enumerate(dataset.classes)
    }
    try:
        folds = make_folds(dataset, Folds(k=k, grouped=grouped))
    except DataError as error:
        assert min(units.values()) < k or " has no " in str(error)
        return
    assert min(units.values()) >= k
    assert all(all(dataset.counts(fold.validation).values()) for fold in folds)


@pytest.mark.parametrize(("grouped", "unit", "count"), [(True, "patients", 2), (False, "images", 4)])
def test_too_large_a_k_says_what_it_needs(grouped: bool, unit: str, count: int) -> None:
    dataset = make_dataset([("A", 2)] * 9 + [("B", 2)] * 2)
    with pytest.raises(DataError, match=f"5 folds need at least 5 {unit} of each class; B has {count}"):
        make_folds(dataset, Folds(k=5, grouped=grouped))


FOUR = make_dataset([("A", 1), ("B", 1), ("A", 2), ("B", 1), ("A", 1)], twins=0)  # rows 2 and 3: one patient


@pytest.mark.parametrize(
    ("train", "validation", "grouped", "error", "message"),
    [
        ([0, 1, 2], [2, 4, 5], False, LeakageError, "1 image is in training and validation of repeat 1, fold 2"),
        ([0, 1, 2], [3, 4, 5], True, LeakageError, "1 patient is in training and validation"),
        ([0, 1], [2, 3, 5], True, DataError, "has no B in validation"),
        ([0, 2, 3], [1, 4, 5], True, DataError, "has no B in training"),
    ],
)
def test_a_fold_that_leaks_or_lacks_a_class_is_an_error(
    train: list[int], validation: list[int], grouped: bool, error: type[DataError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_fold(FOUR, Fold(1, 2, np.array(train), np.array(validation)), grouped)


def test_a_split_patient_is_no_error_where_folds_are_not_grouped() -> None:
    check_fold(FOUR, Fold(0, 0, np.array([0, 1, 2]), np.array([3, 4, 5])), grouped=False)


def test_patients_with_an_identical_file_leak_like_one_patient() -> None:
    dataset = make_dataset([("A", 1), ("A", 1), ("B", 1), ("B", 1)], twins=1)
    with pytest.raises(LeakageError, match="1 patient is"):
        check_fold(dataset, Fold(0, 0, np.array([0, 2]), np.array([1, 3])), grouped=True)


def test_folds_json_names_the_images_and_counts_what_is_shared() -> None:
    dataset = make_dataset([("A", 2)] * 6 + [("B", 1)] * 6)
    folds = make_folds(dataset, Folds(k=2))
    stored: dict[str, Any] = folds_json(dataset, folds, "the digest")
    assert (stored["digest"], stored["manifest"], len(stored["folds"])) == ("the digest", dataset.digest, 2)
    for fold, said in zip(folds, stored["folds"], strict=True):
        assert said["train"] == dataset.table["image"][fold.train].tolist()
        assert said["validation"] == dataset.table["image"][fold.validation].tolist()
        assert said["validation_counts"] == Counter(dataset.table["label"][fold.validation])
        assert said["train_counts"] == Counter(dataset.table["label"][fold.train])
        assert (said["shared_images"], said["shared_patients"]) == (0, 0)
    leaky = Fold(0, 0, np.array([0, 1, 2]), np.array([2, 3]))
    assert folds_json(dataset, [leaky], "")["folds"][0]["shared_images"] == 1
    assert folds_json(dataset, [leaky], "")["folds"][0]["shared_patients"] == 1


def test_grouped_folds_of_the_real_dataset_share_no_patient_and_have_equal_class_rates(xrays: Path) -> None:
    dataset = read_dataset(xrays, Data(source="folder", patient="kermany", positive="PNEUMONIA"))
    folds = make_folds(dataset, Folds())
    assert Counter(np.concatenate([fold.validation for fold in folds]).tolist()) == Counter(range(5216))
    patients = dataset.table["patient"]
    for fold in folds:
        assert not set(patients[fold.train]) & set(patients[fold.validation])
        assert dataset.labels[fold.validation].mean() == pytest.approx(0.743, abs=5e-4)


def test_ungrouped_folds_of_the_real_dataset_leak_as_much_as_published(xrays: Path) -> None:
    dataset = read_dataset(xrays, Data(source="folder", patient="kermany", positive="PNEUMONIA"))
    patients, shared = dataset.table["patient"].to_numpy(), np.zeros(5216, dtype=bool)
    for fold in make_folds(dataset, Folds(grouped=False)):
        shared[fold.validation] = np.isin(patients[fold.validation], patients[fold.train])
    sick = dataset.labels[:5216] == 1
    assert [shared.mean(), shared[sick].mean(), shared[~sick].mean()] == pytest.approx([0.37, 0.46, 0.13], abs=0.02)
