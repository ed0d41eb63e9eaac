"""How files are mapped into memory; what the loaders give is tested with the fits."""

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0

from harness.training.loaders import FeatureFiles, resident


def empty_file(path: Path, shape: tuple[int, ...]) -> Path:
    """A file of an array of zeros, which takes no room on the disk."""
    with path.open("wb") as file:
        write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        os.truncate(path, file.tell() + 4 * int(np.prod(shape)))
    return path


def test_features_may_be_larger_than_the_memory(tmp_path: Path) -> None:
    images = 3 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    maps, moments = empty_file(tmp_path / "maps.npy", (images, 2**10, 16, 16)), tmp_path / "moments.npy"
    array, step = FeatureFiles(0, maps, moments).read("maps")
    assert (array.shape, step) == ((images, 2**10, 16, 16), 1)
    assert not array[-1].any()


def test_torch_does_not_warn_of_a_mapped_file(tmp_path: Path) -> None:
    path = empty_file(tmp_path / "maps.npy", (2, 3))
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # each time, and not only the first in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = resident(np.load(path, mmap_mode="r"), torch.device("cpu"))
    finally:
        torch.set_warn_always(before)
    assert found is not None and found.tolist() == [[0.0] * 3] * 2
