"""Loaders: rows of the manifest -> a batch on the device, of normalised pixels or of cached features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.dataset import Rows
from harness.data.pixels import release
from harness.models.heads import Reads, Shape

Loader = Callable[[Rows], Tensor]  # rows of the manifest -> a batch on the device

MAX_RESIDENT_SHARE = 0.4  # of the free device memory, for data
MAX_MAPPED_BYTES = 2**26  # of a mapped file in memory


@dataclass(frozen=True)
class FeatureFiles:
    """The cached features of consecutive rows of the manifest: maps [n, C, h, w] and their moments [n, 2, C]."""

    first: int  # row
    maps: Path
    moments: Path

    @property
    def shape(self) -> Shape:
        """The shape (C, h, w) of one image's map."""
        _, channels, height, width = np.load(self.maps, mmap_mode="r").shape
        return channels, height, width

    def read(self, form: Reads) -> tuple[NDArray[np.float32], int]:
        """The features in this form, mapped into memory, and the number of its rows per image."""
        array: NDArray[np.float32] = np.load(self.maps if form == "maps" else self.moments, mmap_mode="c")
        return (array.reshape(-1, array.shape[2]), 2) if form == "means" else (array, 1)


def resident(array: NDArray[Any], device: torch.device) -> Tensor | None:
    """Move the whole array to the device; None where it would take too much of its memory."""
    if device.type == "cuda" and array.nbytes >= MAX_RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _gather(array: NDArray[Any], device: torch.device) -> Loader:
    """A loader of rows of `array`, which lies on the device as a whole where it fits."""
    if device.type != "cuda":
        return lambda rows: torch.from_numpy(np.take(array, rows, axis=0)).to(device)
    there = resident(array, device)
    if there is not None:
        return lambda rows: there.index_select(0, torch.from_numpy(rows).to(device))
    # From pinned memory a copy does not wait for the device: the next rows are gathered while it computes.
    return lambda rows: torch.from_numpy(np.take(array, rows, axis=0)).pin_memory().to(device, non_blocking=True)


def _released(array: NDArray[Any], gather: Loader) -> Loader:
    """The same loader, but of a mapped file no more than MAX_MAPPED_BYTES stay in memory."""
    if array.nbytes <= MAX_MAPPED_BYTES:
        return gather
    mapped = 0

    def rows_of(rows: Rows) -> Tensor:
        nonlocal mapped
        mapped += len(rows) * array[0].nbytes
        if mapped > MAX_MAPPED_BYTES:
            release(array)
            mapped = 0
        return gather(rows)

    return rows_of


class PixelLoader:
    """Loads images [n, 3, H, W] as the backbone wants them: scaled, normalised, gray repeated to three channels."""

    def __init__(
        self, pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
    ) -> None:
        self._rows = _released(pixels, _gather(pixels, device))
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255

    def __call__(self, rows: Rows) -> Tensor:
        images = (self._rows(rows).float() - self._mean) / self._std
        return images.to(memory_format=torch.channels_last)


class FeatureLoader:
    """Loads cached features of a frozen backbone in the form that the head reads at the time. files: of each split."""

    def __init__(self, files: Sequence[FeatureFiles], device: torch.device, reads: Callable[[], Reads]) -> None:
        self._files, self._device, self._reads = files, device, reads
        self._opened: dict[tuple[FeatureFiles, Reads], tuple[Loader, int]] = {}

    def __call__(self, rows: Rows) -> Tensor:
        part = max((part for part in self._files if part.first <= rows[0]), key=lambda part: part.first)
        key = part, self._reads()
        if key not in self._opened:
            array, step = part.read(key[1])
            self._opened[key] = _released(array, _gather(array, self._device)), step
        gather, step = self._opened[key]
        return gather((rows - part.first) * step)


class ResidentFeatures:
    """Cached features that lie on the device as a whole, from their first use."""

    def __init__(self, files: FeatureFiles, device: torch.device) -> None:
        self._files, self._device = files, device
        self._opened: dict[Reads, tuple[Tensor, int]] = {}

    def rows(self, index: Tensor, form: Reads) -> Tensor:
        """The features [fits, n, ...] of these rows [fits, n] of the manifest, in this form.

        Raises torch.OutOfMemoryError where the device has no room for all of them.
        """
        if form not in self._opened:
            array, step = self._files.read(form)
            whole = resident(array, self._device)
            if whole is None:
                raise torch.OutOfMemoryError(f"the {form} do not fit into the memory of {self._device}")
            self._opened[form] = whole, step
        whole, step = self._opened[form]
        taken = whole.index_select(0, (index.flatten() - self._files.first) * step)
        return taken.view(*index.shape, *taken.shape[1:])
