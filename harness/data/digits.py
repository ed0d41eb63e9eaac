"""scikit-learn's handwritten digits, written once as images: 1,797 of 8 x 8 pixels, ten classes, no test set.

They come with scikit-learn, so that a study of real images needs no download (Alpaydin & Kaynak 1998, UCI Machine
Learning Repository). They are PGM files, whose hashes are those of the pixels.
"""

from pathlib import Path

import numpy as np

from harness.data.made_images import made_path, put_in_place
from harness.store import Store
from harness.store.files import new_folder

DIGITS_VERSION = 1  # raise it when the images are written differently
DEEPEST = 16  # of scikit-learn's gray levels, from 0


def digits_path(store: Store) -> Path:
    """The folder of the digits; a temporary one where the store lacks it and is read-only."""
    return made_path(store, f"digits-v{DIGITS_VERSION}")


def digits_folder(store: Store) -> Path:
    """Return the image folder of the digits (train/0 to train/9); write them if it does not exist yet."""
    target = digits_path(store)
    if target.is_dir():
        return target
    from sklearn.datasets import load_digits

    found = load_digits()
    with new_folder(target.parent) as new:
        folder = new / "images"
        for number, (image, label) in enumerate(zip(found.images, found.target, strict=True)):
            pixels = np.round(image * (255 / DEEPEST)).astype(np.uint8)
            file = folder / "train" / str(label) / f"digit_{number:04d}.pgm"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"P5 {pixels.shape[1]} {pixels.shape[0]} 255\n".encode() + pixels.tobytes())
        put_in_place(folder, target)
    return target
