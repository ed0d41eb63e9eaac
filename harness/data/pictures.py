"""The images that a report shows, as the network saw them: stored once, so that a report needs no image folder."""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image

from harness.data.dataset import Dataset
from harness.data.decode import Pixels
from harness.data.pixels import open_pixels, pixel_cache
from harness.errors import DataError
from harness.store import Store
from harness.store.files import write_atomic
from harness.study.identity import digest
from harness.study.preprocessing import Framing

PictureOf = Callable[[int], Pixels]  # the pixels [channels, size, size] of the image in a row of the manifest


def picture(dataset: Dataset, framing: Framing, store: Store, row: int) -> Pixels:
    """The pixels [channels, size, size] of the image in this row of the manifest.

    Raises DataError where neither the store nor the image folder has them.
    """
    dataset = dataset.framed(framing.preprocessing)
    other = "".join(f"-{digest(rules)}" for rules in dataset.pixel_rules.in_keys)
    path = store.pictures / f"{dataset.table['sha256'].iloc[row]}-{framing.size}{other}.png"
    if path.exists():
        with Image.open(path) as image:
            stored = np.asarray(image)
        return stored[None] if stored.ndim == 2 else stored.transpose(2, 0, 1)
    try:
        pixels = np.asarray(open_pixels(pixel_cache(dataset, framing.size, store))[row])
    except DataError:
        if dataset.root.is_dir():
            raise
        raise DataError(f"the images are not at hand: there is no folder {dataset.root.name}") from None
    buffer = BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(buffer, "png")
    with suppress(OSError):  # a store that may only be read
        write_atomic(path, buffer.getvalue())
    return pixels
