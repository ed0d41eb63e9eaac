"""The inner split of a fit's training images."""

import numpy as np
import pandas as pd
import pytest

from harness.data.dataset import Dataset
from harness.data.inner_split import inner_split
from harness.errors import DataError


def dataset(tmp_path_factory: pytest.TempPathFactory, patients: list[str], labels: list[str]) -> Dataset:
    images = [f"{n}.png" for n in range(len(patients))]
    table = pd.DataFrame({"image": images, "split": "train", "label": labels, "patient": patients, "sha256": images})
    table.loc[table.index[:2], "sha256"] = "same"  # two patients share an identical file
    return Dataset(tmp_path_factory.getbasetemp(), table, ("A", "B"), "B", False, patient_rule="by name")


def test_no_patient_and_no_copy_is_on_both_sides(tmp_path_factory: pytest.TempPathFactory) -> None:
    patients = [f"p{n // 3}" for n in range(120)]
    patients[1] = "p39"  # by the file that it shares with the first image, p0 and p39 are one group
    found = dataset(tmp_path_factory, patients, ["A", "B"] * 60)
    train = np.random.default_rng(0).choice(120, 300)  # each image several times
    for seed in range(5):
        inner = inner_split(found, train, seed)
        sides = [set(found.groups[inner.rows[side]]) for side in (inner.held_out, ~inner.held_out)]
        assert not sides[0] & sides[1]
        assert inner.counts.sum() == 300 and (np.bincount(train)[inner.rows] == inner.counts).all()
        assert set(inner.labels[inner.held_out]) == set(inner.labels[~inner.held_out]) == {0, 1}
        assert 0.1 < inner.held_out.mean() < 0.35
    again = inner_split(found, train, 0)
    assert (again.held_out == inner_split(found, train, 0).held_out).all()
    assert any((inner_split(found, train, seed).held_out != again.held_out).any() for seed in range(1, 5))


def test_a_class_of_one_patient_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    patients = ["only"] * 4 + [f"p{n}" for n in range(20)]
    found = dataset(tmp_path_factory, patients, ["B"] * 4 + ["A"] * 20)
    with pytest.raises(
        DataError, match="two patients or more of each class among the training images; B has 1: use head: linear"
    ):
        inner_split(found, np.arange(24), 0)
