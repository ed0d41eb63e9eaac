"""`data.test`: a test set of whole patients that is held out of images without one."""

import numpy as np
import pandas as pd
import pytest

from harness.data.held_out import with_test_set
from harness.errors import DataError
from harness.study.set_block import HeldOut


def images(patients: int = 60, seed: int = 0) -> pd.DataFrame:
    """Images of patients with one to six each, a fifth of them with both classes; all of them are training images."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"{label}/p{patient:03d}_{view}.png", "train", label, f"p{patient:03d}")
        for patient in range(patients)
        for view in range(rng.integers(1, 7))
        for label in ["A" if patient % 3 else "B" if patient % 5 or view % 2 else "A"]
    ]
    table = pd.DataFrame(rows, columns=["image", "split", "label", "patient"])
    return table.assign(sha256=table["image"])


def held(table: pd.DataFrame, **how: object) -> set[str]:
    found = with_test_set(table, HeldOut.model_validate({"share": 0.25, **how}), patients_known=True)
    return set(found.loc[found["split"] == "test", "image"])


def test_whole_patients_are_held_out_with_the_share_of_each_class() -> None:
    table = images()
    found = with_test_set(table, HeldOut(share=0.25), patients_known=True)
    assert found.groupby("patient")["split"].nunique().max() == 1
    for _, rows in found.groupby("label"):
        assert (rows["split"] == "test").mean() == pytest.approx(0.25, abs=3 / len(rows))
    assert found.drop(columns="split").equals(table.drop(columns="split"))


def test_the_same_seed_holds_out_the_same_images_in_any_order_and_another_one_others() -> None:
    table = images()
    assert held(table) == held(table.sample(frac=1, random_state=1).reset_index(drop=True))
    assert held(table) != held(table, seed=1)


def test_patients_with_many_images_are_neither_preferred_nor_avoided() -> None:
    table = images(300)
    sizes = table["patient"].value_counts()
    means = [
        sizes[sorted({table.set_index("image")["patient"][i] for i in held(table, seed=s)})].mean() for s in range(9)
    ]
    assert np.mean(means) == pytest.approx(sizes.mean(), abs=0.15)


def test_identical_files_stay_together_where_images_are_drawn() -> None:
    table = images()
    table["sha256"] = [f"copy{number // 2}" for number in range(len(table))]
    found = with_test_set(table, HeldOut(share=0.25, by="image"), patients_known=False)
    assert found.groupby("sha256")["split"].nunique().max() == 1
    assert found.groupby("patient")["split"].nunique().max() == 2


def test_what_cannot_be_held_out_is_refused() -> None:
    table = images()
    own = table.assign(split=["test", *["train"] * (len(table) - 1)])
    with pytest.raises(DataError, match=r"have a test set of their own; remove data\.test"):
        held(own)
    with pytest.raises(DataError, match=r"needs a rule that finds the patients: data.patient; .* `by: image`") as told:
        with_test_set(table, HeldOut(share=0.2), patients_known=False)
    assert told.value.field == ("data", "test", "by")
    with pytest.raises(DataError, match=r"a share of 0\.001 leaves the test set without A"):
        held(table, share=0.001)
    with pytest.raises(DataError, match=r"a share of 0\.999 leaves training without A"):
        held(table, share=0.999)
