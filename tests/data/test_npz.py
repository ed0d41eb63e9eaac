import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.decode import decode
from harness.data.manifest import read_dataset
from harness.data.npz import listed, npz_folder, read_arrays
from harness.errors import DataError
from harness.store import Store
from harness.study.data_block import Data


def arrays(colour: bool = False, side: int = 12, **counts: int) -> dict[str, Any]:
    """Images of two classes in the layout of MedMNIST, as many of each split as `counts` says."""
    rng, found = np.random.default_rng(0), {}
    for part, count in counts.items():
        found[f"{part}_images"] = rng.integers(0, 256, (count, side, side + 2, *[3] * colour), dtype=np.uint8)
        found[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 2
    return found


def saved(path: Path, content: dict[str, Any]) -> Path:
    np.savez_compressed(path, **content)
    return path


@pytest.mark.parametrize("colour", [False, True])
def test_every_image_has_its_own_pixels_class_and_split(tmp_path: Path, colour: bool) -> None:
    content = arrays(colour, train=5, val=2, test=4)
    file, store = saved(tmp_path / "small set.npz", content), Store(tmp_path / "st")
    root = npz_folder(file, store)
    assert root.parent == store.data
    table = listed(read_arrays(file))
    assert sorted(table["image"]) == sorted(p.relative_to(root).as_posix() for p in root.rglob("*.p?m"))
    for part, rows in table.groupby("split"):
        assert rows["label"].tolist() == [str(label) for label in content[f"{part}_labels"][:, 0]]
        stored = [decode(root / image, 12) for image in rows["image"]]
        resized = [decode(_png(pixels), 12) for pixels in content[f"{part}_images"]]
        assert np.array_equal(stored, resized)
    assert table["image"].tolist()[-1] == f"test/1/test_000003.{'ppm' if colour else 'pgm'}"


def _png(pixels: Any) -> io.BytesIO:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file


def test_a_last_axis_of_one_is_gray_and_labels_may_be_flat(tmp_path: Path) -> None:
    content = arrays(train=4)
    flat = {"train_images": content["train_images"][..., None], "train_labels": content["train_labels"][:, 0]}
    first, second = saved(tmp_path / "a.npz", content), saved(tmp_path / "b.npz", flat)
    hashes = []
    for number, file in enumerate((first, second)):
        root = npz_folder(file, Store(tmp_path / f"st{number}"))
        hashes.append(read_dataset(root, Data(source="npz", path=str(file))).table["sha256"].tolist())
    assert hashes[0] == hashes[1], "the hash is of the pixels"


def test_val_is_left_out_and_named_or_trained_on(tmp_path: Path) -> None:
    root = npz_folder(saved(tmp_path / "a.npz", arrays(train=8, val=4, test=4)), Store(tmp_path / "st"))
    ignored = read_dataset(root, Data(source="npz"))
    assert ignored.counts(ignored.rows("train")) == {"0": 4, "1": 4}
    assert [str(left) for left in ignored.left_out] == [
        "not read: val/ (4 images); only train/, test/ and, with `val: train`, val/ are"
    ]
    joined = read_dataset(root, Data(source="npz", val="train"))
    assert joined.counts(joined.rows("train")) == {"0": 6, "1": 6}


def test_labels_name_the_classes_and_others_are_left_out_and_counted(tmp_path: Path) -> None:
    content = arrays(train=9, test=6)
    content |= {name: content[name] + (np.arange(len(content[name])) == 2)[:, None] * 2 for name in ("train_labels",)}
    root = npz_folder(saved(tmp_path / "a.npz", content), Store(tmp_path / "st"))
    found = read_dataset(root, Data(source="npz", labels={"1": "ill", "0": "well"}))
    assert found.counts(found.rows("train")) == {"ill": 4, "well": 4}
    assert found.counts(found.rows("test")) == {"ill": 3, "well": 3}
    assert set(found.table.loc[found.table["label"] == "ill", "image"].str.split("/").str[1]) == {"1"}
    (left,) = found.left_out
    assert str(left) == "not read: 1 image with a label that `labels` does not name (2: 1), train/2/train_000002.pgm"
    with pytest.raises(DataError, match="no image has the label '7'; there are 0, 1, 2") as told:
        read_dataset(root, Data(source="npz", labels={"7": "ill"}))
    assert told.value.field == ("data", "labels", "7")
    merged = read_dataset(root, Data(source="npz", labels={"0": "a", "1": "b", "2": "a"}))
    assert merged.counts(merged.rows("train")) == {"a": 5, "b": 4}


def test_a_file_is_unpacked_once_and_a_changed_one_again(tmp_path: Path) -> None:
    store, file = Store(tmp_path / "st"), saved(tmp_path / "a.npz", arrays(train=4))
    first = npz_folder(file, store)
    inode = (first / "train/0/train_000000.pgm").stat().st_ino
    assert npz_folder(file, store) == first
    assert (first / "train/0/train_000000.pgm").stat().st_ino == inode
    saved(file, arrays(train=6))
    assert npz_folder(file, store) != first


GOOD = arrays(train=4)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "labels of several findings": (
        {**GOOD, "train_labels": np.zeros((4, 14), int)}, "train_labels has 14 labels for each image; a study needs one"
    ),
    "volumes": ({**GOOD, "train_images": np.zeros((4, 8, 8, 8), np.uint8)}, r"train_images has the shape [4, 8, 8, 8]"),
    "16 bits": ({**GOOD, "train_images": np.zeros((4, 8, 8), np.uint16)}, "and the type uint16; expected train_images"),
    "floats": ({**GOOD, "train_images": np.zeros((4, 8, 8))}, "and the type float64; expected train_images"),
    "another order": ({**GOOD, "train_images": np.zeros((4, 8, 9), np.uint8, "F")}, "uint8, in Fortran order"),
    "no image": ({**GOOD, "train_images": np.zeros((0, 8, 8), np.uint8)}, "the shape [0, 8, 8]"),
    "too few labels": ({**GOOD, "train_labels": np.zeros((3, 1), int)}, "has 4 images and train_labels 3 labels"),
    "labels of text": ({**GOOD, "train_labels": np.array(["a"] * 4)}, "train_labels has the shape [4] and the type"),
    "no labels": ({"train_images": GOOD["train_images"]}, "there is no array train_labels"),
    "no training images": (arrays(test=4), "has the arrays test_images, test_labels; expected train_images"),
    "other arrays": ({"x": np.zeros(3)}, "has the arrays x; expected train_images"),
    "objects": ({**GOOD, "train_labels": np.array([[{}]] * 4, object)}, "Object arrays cannot be loaded"),
    "objects as images": ({**GOOD, "train_images": np.array([[[{}]]] * 4, object)}, "and the type object"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_foreign_file_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    content, told = BAD[kind]
    file = saved(tmp_path / "a.npz", content)
    with pytest.raises(DataError) as error:
        npz_folder(file, Store(tmp_path / "st"))
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "st").exists()


def test_a_broken_file_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.npz", arrays(train=40))
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo("train_images.npy").header_offset
    changed = bytearray(whole)
    changed[start + 2000] ^= 255
    for content in (whole[:-100], bytes(changed), b"", b"text", whole[:200]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz cannot be read as an \.npz file \(.*\); expected train_images"):
            npz_folder(file, Store(tmp_path / "st"))
    assert not (tmp_path / "st").exists()
