"""What a network reads for given rows: pixels normalised on the device, or features that were kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.cache import release

Rows = NDArray[np.int64]
Inputs = Callable[[Rows], Tensor]  # rows of the manifest -> a batch on the device

RESIDENT_SHARE = 0.4  # of the free device memory that data may take
HELD = 2**26  # bytes


@dataclass(frozen=True)
class FeatureFiles:
    """The kept features of consecutive rows of the manifest: maps [n, C, h, w] and their moments [n, 2, C]."""

    first: int  # row
    maps: Path
    moments: Path


def resident(array: NDArray[Any], device: torch.device) -> Tensor | None:
    """The whole array as a tensor on the device; None where it would take too much of its memory."""
    if device.type == "cuda" and array.nbytes >= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _gather(array: NDArray[Any], device: torch.device) -> Inputs:
    """Rows of `array` as a tensor on the device; the whole array lies there where it fits."""
    if device.type != "cuda":
        return lambda rows: torch.from_numpy(np.take(array, rows, axis=0)).to(device)
    there = resident(array, device)
    if there is not None:
        return lambda rows: there.index_select(0, torch.from_numpy(rows).to(device))
    # From pinned memory a copy does not wait for the device: the next rows are gathered while it computes.
    return lambda rows: torch.from_numpy(np.take(array, rows, axis=0)).pin_memory().to(device, non_blocking=True)


def _released(array: NDArray[Any], gather: Inputs) -> Inputs:
    """The same, but of a mapped file no more than HELD bytes stay in memory, however large it is."""
    held = 0

    def rows_of(rows: Rows) -> Tensor:
        nonlocal held
        held += len(rows) * array[0].nbytes
        if held > HELD:
            release(array)
            held = 0
        return gather(rows)

    return rows_of


class PixelInputs:
    """Images [n, 3, H, W] as the backbone wants them: scaled, normalised, gray repeated to three channels."""

    def __init__(
        self, pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
    ) -> None:
        self._rows = _released(pixels, _gather(pixels, device))
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255

    def __call__(self, rows: Rows) -> Tensor:
        images = (self._rows(rows).float() - self._mean) / self._std
        return images.to(memory_format=torch.channels_last)


class FeatureInputs:
    """Kept features of a frozen backbone: maps [n, C, h, w], or moments [n, 2, C] whenever the head reads those.

    files: of each split.
    """

    def __init__(self, files: list[FeatureFiles], device: torch.device, reads_moments: Callable[[], bool]) -> None:
        def opened(path: Path) -> Inputs:
            return _gather(np.load(path, mmap_mode="r"), device)

        self._parts = [(part.first, opened(part.maps), opened(part.moments)) for part in files]
        self._reads_moments = reads_moments

    def __call__(self, rows: Rows) -> Tensor:
        first, maps, moments = max((part for part in self._parts if part[0] <= rows[0]), key=lambda part: part[0])
        return (moments if self._reads_moments() else maps)(rows - first)


class ResidentFeatures:
    """Kept features that lie on the device as a whole, maps or moments, from when they are first asked for."""

    def __init__(self, files: FeatureFiles, device: torch.device) -> None:
        self._files, self._device = files, device
        self._values: dict[Path, Tensor] = {}

    def rows(self, index: Tensor, moments: bool) -> Tensor:
        """The moments [fits, n, 2, C] or the maps [fits, n, C, h, w] of these rows [fits, n] of the manifest.

        Raises torch.OutOfMemoryError where the device has no room for all of them.
        """
        path = self._files.moments if moments else self._files.maps
        if path not in self._values:
            whole = resident(np.load(path, mmap_mode="c"), self._device)
            if whole is None:
                raise torch.OutOfMemoryError(f"{path.name} does not fit into the memory of {self._device}")
            self._values[path] = whole
        taken = self._values[path].index_select(0, index.flatten() - self._files.first)
        return taken.view(*index.shape, *taken.shape[1:])
