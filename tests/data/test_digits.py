from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from harness.data.digits import digits_folder
from harness.data.manifest import read_dataset
from harness.data.sources import images_at_hand, made_folders, missing_images
from harness.store import Store
from harness.study.data_block import Data


def test_the_digits_of_scikit_learn_are_written_once_pixel_by_pixel(tmp_path: Path) -> None:
    store, spec = Store(tmp_path), Data(source="digits")
    assert (images_at_hand(spec, store), missing_images(spec, store)) == (False, None)
    folder = digits_folder(store)
    assert made_folders(spec, store) == [folder]
    found = load_digits()
    for number in (0, 17, 1796):
        file = folder / "train" / str(found.target[number]) / f"digit_{number:04d}.pgm"
        assert np.array_equal(np.asarray(Image.open(file)), np.round(found.images[number] * 255 / 16))
    dataset = read_dataset(folder, spec)
    assert (len(dataset.table), dataset.classes) == (1797, tuple("0123456789"))
    assert not dataset.synthetic
    file.write_bytes(b"")
    assert digits_folder(store) == folder
    assert file.read_bytes() == b"", "not again"
