"""The pixel cache: every image decoded once, before training, into one file that all fits share."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from harness.data.dataset import Dataset
from harness.data.decode import DECODER, HOW_TO_MEND, Pixels, Progress, decoded, unreadable
from harness.data.dicom import decoder_versions
from harness.errors import DataError
from harness.store import Store
from harness.store.failpoints import failpoint
from harness.store.files import creation_lock, new_folder
from harness.study.identity import digest

WRITE_BUFFER = 2**20  # bytes; each write releases the GIL, which the decoding threads need too


def pixel_cache(dataset: Dataset, image_size: int, store: Store, progress: Progress = lambda *_: None) -> Path:
    """Return the file with the pixels of the manifest's images in its order; decode them if it does not exist yet.

    Of several processes one decodes and the others wait for it.
    Raises DataError naming up to five unreadable images; then nothing is written.
    """
    hashes = dataset.table["sha256"].tolist()
    decoders = decoder_versions(dataset.table["image"].tolist())
    key = digest([DECODER, PIL.__version__, image_size, hashes, *dataset.pixel_rules.in_keys, *decoders])
    path = store.cache / "pixels" / f"{key}.npy"
    if not path.exists():
        with creation_lock(path):
            if not path.exists():
                _make(path, dataset, image_size, progress)
    return path


def _make(path: Path, dataset: Dataset, size: int, progress: Progress) -> None:
    with new_folder(path.parent) as folder:
        part = folder / path.name
        # Most medical images are gray: one channel, until the first coloured image is found.
        if not _decode_all(dataset, size, part, 1, progress):
            _decode_all(dataset, size, part, 3, progress)
        failpoint("pixels.written")
        part.replace(path)
        failpoint("pixels.replaced")


def open_pixels(path: Path) -> Pixels:
    """Open a cache file as a memory map."""
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def release(array: NDArray[Any]) -> None:
    """Release the memory of the pages of a mapped file that were read; it would grow to the size of the file."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def pieces(pixels: Pixels, rows: int = 256) -> Iterator[Pixels]:
    """Yield the pixels in pieces, in order, with only one piece in memory."""
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows]
        release(pixels)


def _decode_all(dataset: Dataset, size: int, part: Path, channels: int, progress: Progress) -> bool:
    """Write all images to the file `part`; return False as soon as one is coloured but `channels` is 1."""
    files, bad = dataset.files, dict[str, str]()
    with part.open("wb", buffering=WRITE_BUFFER) as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), channels, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        hashes = dataset.table["sha256"].tolist()
        for index, image in enumerate(decoded(files, hashes, size, dataset.pixel_rules)):
            if isinstance(image, str):
                bad[str(files[index])] = image
            elif image.ndim == 3 and channels == 1:
                return False
            else:
                planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
                file.write(np.broadcast_to(planes, (channels, size, size)).tobytes())
            progress(index + 1, len(files))
        file.flush()
        os.fsync(file.fileno())
    if bad:
        raise DataError(unreadable(bad, len(files)) + HOW_TO_MEND)
    return True
