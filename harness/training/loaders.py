"""Loaders: rows of the manifest -> batches on the device, of normalised pixels or of cached features."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.dataset import Rows
from harness.data.pixels import release
from harness.models.heads import Reads, Shape

Loader = Callable[[Sequence[Rows]], Iterator[Tensor]]  # parts of the rows of the manifest -> a batch for each

MAX_RESIDENT_SHARE = 0.4  # of the free device memory, for data
MAX_MAPPED_BYTES = 2**26  # of a mapped file in memory


@dataclass(frozen=True)
class FeatureFiles:
    """The cached features of consecutive rows of the manifest: maps [n, C, h, w] and their moments [n, 2, C].

    moments: None of vectors [n, C, 1, 1], whose means are themselves.
    """

    first: int  # row
    maps: Path
    moments: Path | None

    @property
    def shape(self) -> Shape:
        """The shape (C, h, w) of one image's map."""
        _, channels, height, width = np.load(self.maps, mmap_mode="r").shape
        return channels, height, width

    def read(self, form: Reads) -> tuple[NDArray[np.float32], int]:
        """The features in this form, mapped into memory, and the number of its rows per image.

        Not as a private copy, for which Linux wants as much memory as the whole file takes.
        """
        array: NDArray[np.float32] = np.load(self.maps if form == "maps" else self.moments or self.maps, mmap_mode="r")
        if self.moments is None and form != "maps":
            return in_form(array.reshape(len(array), -1), form), 1
        return (array.reshape(-1, array.shape[2]), 2) if form == "means" else (array, 1)


def in_form(vectors: NDArray[np.float32], form: Reads) -> NDArray[np.float32]:
    """Vectors [n, C] as a head reads them: as maps [n, C, 1, 1], as their moments [n, 2, C], or as they are."""
    if form == "moments":
        return np.stack([vectors, np.zeros_like(vectors)], axis=1)
    return vectors if form == "means" else vectors[:, :, None, None]


def resident(array: NDArray[Any], device: torch.device) -> Tensor | None:
    """Move the whole array to the device; None where it would take too much of its memory."""
    if device.type == "cuda" and array.nbytes >= MAX_RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    with warnings.catch_warnings():  # torch warns of a mapped file, which may not be written, and nobody does
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def parts_of(rows: Rows, size: int) -> list[Rows]:
    """The rows in their order, `size` at a time."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def on_device(rows: Sequence[Rows], device: torch.device) -> tuple[Tensor, ...]:
    """Move the parts of an epoch to the device: all at once, as the first copy would wait for it and each other one."""
    moved = torch.from_numpy(np.concatenate(rows)).to(device) if rows else torch.empty(0)
    return torch.split(moved, [len(part) for part in rows])


def _gather(array: NDArray[Any], device: torch.device) -> Loader:
    """A loader of rows of `array`, which lies on the device as a whole where it fits."""
    if device.type != "cuda":
        return lambda parts: (torch.from_numpy(np.take(array, rows, axis=0)).to(device) for rows in parts)
    there = resident(array, device)
    if there is None:
        return partial(_prefetched, array, device)
    return lambda parts: (there.index_select(0, rows) for rows in on_device(parts, device))


def _prefetched(array: NDArray[Any], device: torch.device, parts: Sequence[Rows]) -> Iterator[Tensor]:
    """Load each part while the device computes on the one before: from pinned memory, on a stream of its own."""
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def load(rows: Rows) -> tuple[Tensor, torch.cuda.Event]:
        pinned = torch.from_numpy(np.take(array, rows, axis=0)).pin_memory()
        with torch.cuda.stream(copies):
            return pinned.to(device, non_blocking=True), copies.record_event()

    coming = [load(rows) for rows in parts[:1]]
    for number in range(len(parts)):
        batch, loaded = coming.pop()
        coming += [load(rows) for rows in parts[number + 1 : number + 2]]
        computes = torch.cuda.current_stream(device)
        computes.wait_event(loaded)
        batch.record_stream(computes)  # its memory is of the other stream, and is used on this one
        yield batch


def _released(array: NDArray[Any], gather: Loader) -> Loader:
    """The same loader, but of a mapped file no more than MAX_MAPPED_BYTES stay in memory."""
    if array.nbytes <= MAX_MAPPED_BYTES:
        return gather

    def batches(parts: Sequence[Rows]) -> Iterator[Tensor]:
        mapped = 0
        for rows, batch in zip(parts, gather(parts), strict=True):
            mapped += len(rows) * array[0].nbytes
            yield batch
            if mapped > MAX_MAPPED_BYTES:
                release(array)
                mapped = 0

    return batches


@dataclass(frozen=True)
class Scale:
    """How pixels from 0 to 255 become what a network reads: less the mean, by the deviation, both [1, 3, 1, 1]."""

    mean: Tensor
    std: Tensor

    def scaled(self, pixels: Tensor) -> Tensor:
        """Images [n, 3, H, W] as a network reads them. pixels: [n, 1 or 3, H, W], gray repeated to three channels."""
        return ((pixels.float() - self.mean) / self.std).to(memory_format=torch.channels_last)

    def pixels(self, images: Tensor) -> Tensor:
        """The pixels [n, 3, H, W] of scaled images."""
        return (images * self.std + self.mean).round().clamp(0, 255).to(torch.uint8)


class PixelLoader:
    """Loads images [n, 3, H, W] as the backbone wants them: scaled, normalised, gray repeated to three channels."""

    def __init__(
        self, pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
    ) -> None:
        self._pixels = _released(pixels, _gather(pixels, device))
        self.scale = Scale(*(torch.tensor(values, device=device).view(1, 3, 1, 1) * 255 for values in (mean, std)))

    def __call__(self, parts: Sequence[Rows]) -> Iterator[Tensor]:
        for pixels in self._pixels(parts):
            yield self.scale.scaled(pixels)


class FeatureLoader:
    """Loads cached features of a frozen backbone in the form that the head reads at the time.

    files: of each split; all rows of one call are of one split.
    """

    def __init__(self, files: Sequence[FeatureFiles], device: torch.device, reads: Callable[[], Reads]) -> None:
        self._files, self.device, self._reads = files, device, reads
        self._opened: dict[tuple[FeatureFiles, Reads], tuple[Loader, int]] = {}

    def __call__(self, parts: Sequence[Rows]) -> Iterator[Tensor]:
        file = max((file for file in self._files if file.first <= parts[0][0]), key=lambda file: file.first)
        key = file, self._reads()
        if key not in self._opened:
            array, step = file.read(key[1])
            self._opened[key] = _released(array, _gather(array, self.device)), step
        gather, step = self._opened[key]
        return gather([(rows - file.first) * step for rows in parts])


class WithSynthetic:
    """A loader of features that gives synthetic vectors [m, C] for the rows behind the last image of the manifest.

    loader: of the images. images: how many the manifest has.
    """

    def __init__(
        self, loader: FeatureLoader, images: int, vectors: NDArray[np.float32], reads: Callable[[], Reads]
    ) -> None:
        self._loader, self._images, self._vectors, self._reads = loader, images, vectors, reads

    def __call__(self, parts: Sequence[Rows]) -> Iterator[Tensor]:
        places = [np.flatnonzero(part >= self._images) for part in parts]
        if not any(map(len, places)):
            yield from self._loader(parts)
            return
        real = next(row for part in parts for row in part if row < self._images)  # no class is made of nothing
        batches = self._loader([np.where(part < self._images, part, real) for part in parts])
        device = self._loader.device
        vectors = torch.from_numpy(in_form(self._vectors, self._reads())).to(device)
        which = on_device([part[at] - self._images for part, at in zip(parts, places, strict=True)], device)
        for batch, at, synthetic in zip(batches, on_device(places, device), which, strict=True):
            yield batch.index_copy_(0, at, vectors.index_select(0, synthetic))


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
