"""A study of an .npz file as MedMNIST ships them, from `new` to its numbers made again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.store import Store
from tests.conftest import runs_of
from tests.field.conftest import Harness

QUICK = [
    "data.image_size=32", "folds.k=2", "base.backbone=test_resnet", "base.weights=none", "base.epochs=1",
    "base.batch_size=8", "stages.0.grid={head: [dropout-gap]}",
]  # fmt: skip
QUICKLY = [word for setting in QUICK for word in ("--set", setting)]


def medmnist(path: Path) -> Path:
    """Gray images of 28 x 28; those of class 1 have a bright square."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 16), ("val", 4), ("test", 8)):
        labels = np.arange(count)[:, None] % 2
        images = rng.integers(0, 128, (count, 28, 28), dtype=np.uint8)
        images[labels[:, 0] == 1, 8:16, 8:16] += 127
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez_compressed(path, **arrays)
    return path


def test_a_refused_request_leaves_nothing_and_a_wrong_path_says_what_it_is(harness: Harness) -> None:
    medmnist(Path("minimnist.npz"))
    assert harness("new", "n", "--data", "minimnist.npz", "--out", ".").code == 0
    assert "positive" in harness.refused("plan", "n.yaml", *QUICKLY, "--set", "data.positive=7")
    assert not Path("mlruns").exists()
    assert "gone.npz is not a file (No such file or directory)" in harness.refused(
        "plan", "n.yaml", "--data", "gone.npz"
    )
    assert "is an .npz file: write `source: npz`" in harness.refused("plan", "n.yaml", "--set", "data.source=folder")
    Path("d").mkdir()
    assert "d is not a file" in harness.refused("plan", "n.yaml", "--data", "d")


@pytest.mark.long
def test_from_new_to_a_report_and_its_images_checked_again(harness: Harness) -> None:
    medmnist(Path("minimnist.npz"))
    written = harness("new", "n", "--data", "minimnist.npz", "--out", ".")
    assert written.code == 0, written
    assert "source npz, from the arrays train_images, val_images, test_images of minimnist.npz" in written.out
    assert "not read: the 4 images of val_images; `val: train` adds them" in written.out
    assert "positive class, guessed: 1 (the other one is called 0)" in written.out
    assert "0: 8, 1: 8" in Path("n.yaml").read_text(encoding="utf-8")
    planned = json.loads(harness("plan", "n.yaml", "--json", *QUICKLY).out)
    assert [(row["split"], row["class"], row["images"]) for row in planned["data"]] == [
        ("train", "0", 8), ("train", "1", 8), ("test", "0", 4), ("test", "1", 4),
    ]  # fmt: skip
    ran = harness("run", "n.yaml", *QUICKLY)
    assert ran.code == 0, ran
    assert "not read: val/ (4 images)" in ran.err
    (fit, *_) = Path("mlruns/jobs").glob("*/predictions.parquet")
    assert pd.read_parquet(fit)["image"].str.match(r"(train|test)/[01]/(train|test)_\d{6}\.pgm").all()
    assert images_hold(harness("verify", "--json").out), "they are in the store"
    predicted = harness("predict", "n.yaml", *map(str, Path("mlruns/data").glob("*/test/1/*.pgm")), *QUICKLY)
    assert predicted.code == 0, predicted
    Path("minimnist.npz").rename("moved.npz")
    shutil.rmtree("mlruns/data")
    assert images_hold(harness("verify", "--data", "moved.npz", "--json").out)
    run_id = runs_of(Store(Path("mlruns")), "fold")[0].info.run_id
    again = harness("reproduce", run_id, "--data", "moved.npz")
    assert again.code == 0, again
    assert not Path("mlruns/data").exists(), "a command that only reads unpacks nothing into the store"


def images_hold(verified: str) -> bool:
    items = [item for item in json.loads(verified)["items"] if item["part"] == "images"]
    return all(item["verdict"] == "holds" for item in items) and "24 images" in items[0]["words"]
