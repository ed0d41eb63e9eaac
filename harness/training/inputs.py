"""What a network reads for given rows: pixels normalised on the device, or features that were kept."""

from collections.abc import Callable
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


def _gather(array: NDArray[Any], device: torch.device) -> Inputs:
    """Rows of `array` as a tensor on the device; the whole array lies there where it fits."""
    if device.type != "cuda":
        return lambda rows: torch.from_numpy(np.take(array, rows, axis=0)).to(device)
    if array.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        resident = torch.from_numpy(np.ascontiguousarray(array)).to(device)
        return lambda rows: resident.index_select(0, torch.from_numpy(rows).to(device))
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

    files: for each split its first row in the manifest, its maps and its moments.
    """

    def __init__(
        self, files: list[tuple[int, Path, Path]], device: torch.device, reads_moments: Callable[[], bool]
    ) -> None:
        def opened(path: Path) -> Inputs:
            return _gather(np.load(path, mmap_mode="r"), device)

        self._parts = [(first, opened(maps), opened(moments)) for first, maps, moments in files]
        self._reads_moments = reads_moments

    def __call__(self, rows: Rows) -> Tensor:
        first, maps, moments = max((part for part in self._parts if part[0] <= rows[0]), key=lambda part: part[0])
        return (moments if self._reads_moments() else maps)(rows - first)
