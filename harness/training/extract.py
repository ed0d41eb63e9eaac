"""One pass of images through a frozen backbone, into arrays in memory or in files."""

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from harness.data.dataset import Rows
from harness.data.pixels import release
from harness.models.backbone import Backbone
from harness.models.heads import Shape, moments_of
from harness.models.layouts import Layout
from harness.study.allowed import Pool
from harness.training.allocator import held_memory
from harness.training.device import Arithmetic
from harness.training.loaders import Loader, parts_of

IMAGES_AT_A_TIME, IMAGES_AT_A_TIME_ON_CPU = 64, 32  # on a CPU more of them take memory and no less time
MAPS, MOMENTS = "maps.npy", "moments.npy"


class FeatureArrays(NamedTuple):
    """Room for the features of n images."""

    maps: NDArray[np.float32]  # [n, C, h, w]
    moments: NDArray[np.float32] | None  # [n, 2, C]: the mean and the variance of each map; None: of vectors in a file

    @staticmethod
    def empty(images: int, shape: Shape) -> "FeatureArrays":
        """Arrays in memory."""
        return FeatureArrays(
            np.empty((images, *shape), dtype=np.float32), np.empty((images, 2, shape[0]), dtype=np.float32)
        )

    @staticmethod
    def in_folder(folder: Path, images: int, shape: Shape, pool: Pool) -> "FeatureArrays":
        """Arrays that are mapped to the files `maps.npy` and, of maps, `moments.npy`, which heads that pool read."""
        folder.mkdir()
        new = partial(open_memmap, mode="w+", dtype=np.float32)
        moments = new(folder / MOMENTS, shape=(images, 2, shape[0])) if pool == "map" else None
        return FeatureArrays(new(folder / MAPS, shape=(images, *shape)), moments)


def extract(
    backbone: Backbone, loader: Loader, rows: Rows, arrays: Mapping[Layout, FeatureArrays], arithmetic: Arithmetic
) -> int:
    """Write the features of these rows into the arrays, and return the number of images passed through the backbone."""
    on_cpu = arithmetic.device.type == "cpu"
    passes, batch = 0, IMAGES_AT_A_TIME_ON_CPU if on_cpu else IMAGES_AT_A_TIME
    with torch.inference_mode(), held_memory() if on_cpu else nullcontext():
        for start, images in zip(range(0, len(rows), batch), loader(parts_of(rows, batch)), strict=True):
            with arithmetic.autocast():
                found = backbone.in_layouts(images, [*arrays])
            passes += len(images)
            for features, of_layout in zip(found, arrays.values(), strict=True):
                _keep(features.float(), of_layout, start)
    return passes


def _keep(features: Tensor, arrays: FeatureArrays, start: int) -> None:
    """Write the features of a batch into the arrays."""
    stop = start + len(features)
    # torch orders the values of maps faster than numpy.
    arrays.maps[start:stop] = features.contiguous().cpu().numpy()
    release(arrays.maps)  # what is written stays in the file, and need not stay in memory
    if arrays.moments is not None:
        arrays.moments[start:stop] = torch.stack(moments_of(features), dim=1).cpu().numpy()
