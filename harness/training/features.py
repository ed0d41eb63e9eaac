"""The features of a frozen backbone, computed once and kept: every head, fold and later run reads the same files."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from harness.data.pixels import open_pixels, release
from harness.errors import HarnessError
from harness.models.backbone import Backbone, feature_shape
from harness.models.heads import Shape, moments_of
from harness.store.cache import size_of
from harness.store.failpoints import failpoint
from harness.store.files import creation_lock, new_folder, sync_folder
from harness.study.identity import digest
from harness.study.settings import ResolvedSettings
from harness.training.allocator import kept_memory
from harness.training.device import autocast
from harness.training.loaders import Inputs, PixelInputs, Rows

EXTRACTOR = 4  # raise it when the features that come out change
BATCH, CPU_BATCH = 64, 32  # images; on a CPU more of them take memory and no less time
LIMIT = "HARNESS_CACHE_GIB"  # how much all features of a store may take
LIMIT_GIB = 100.0
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """The kept features of some images.

    `maps`: float32 [n, C, h, w]. `moments`: float32 [n, 2, C], of each image and channel the mean and the variance
    over its map, all that a head needs that pools first. `passes`: the images that went through the backbone now,
    0 where the features were there already. `seconds`: what that took, now or before. `parameters`: of the backbone.
    """

    maps: Path
    moments: Path
    passes: int
    seconds: float
    parameters: int


def frozen_features(
    settings: ResolvedSettings,
    load: Callable[[], Backbone],
    weights: str,
    pixels: Path,
    rows: Rows,
    folder: Path,
    device: torch.device,
    precision: str,
) -> Features:
    """The features of these rows, computed now if they are not there yet; a second process waits for the first.

    load: gives the backbone, called only if it is needed. weights: the hash of its weights.
    rows: consecutive rows of the pixel file.
    """
    size = settings.image_size
    about: dict[str, str | int | float] = {
        "backbone": settings.backbone, "weights": weights, "image_size": size, "precision": precision,
        "device": device.type, "pixels": pixels.stem, "first": int(rows[0]), "images": len(rows),
    }  # fmt: skip
    kept = folder / digest([EXTRACTOR, version("timm"), torch.__version__, about])
    passes = 0
    if not kept.is_dir():
        with creation_lock(kept):
            if not kept.is_dir():
                backbone = load().put_on(device).eval()
                inputs = PixelInputs(open_pixels(pixels), backbone.mean, backbone.std, device)
                shape = feature_shape(backbone, size)
                _require_room(folder, len(rows), shape, settings.backbone)
                with new_folder(folder) as new:
                    started = time.perf_counter()
                    passes = _extract(backbone, inputs, rows, shape, device, precision, new)
                    about |= {"passes": passes, "seconds": time.perf_counter() - started, "parameters": backbone.size}
                    (new / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
                    sync_folder(new)
                    failpoint("features.written")
                    new.rename(kept)
                    failpoint("features.replaced")
    told = json.loads((kept / "about.json").read_text(encoding="utf-8"))
    return Features(kept / "maps.npy", kept / "moments.npy", passes, told["seconds"], told["parameters"])


def _require_room(folder: Path, images: int, shape: Shape, backbone: str) -> None:
    """Raises HarnessError where the features would not fit below the limit, or on the disk: before any is computed."""
    needed = images * (math.prod(shape) + 2 * shape[0]) * 4
    kept, free = size_of(folder) if folder.is_dir() else 0, shutil.disk_usage(folder).free
    limit = _limit()
    if kept + needed <= limit and needed < free:
        return
    raise HarnessError(
        f"the features of {backbone} for {images:,} images take {_gib(needed)}: the cache holds {_gib(kept)} of at most"
        f" {_gib(limit)}, and {_gib(free)} of the disk are free; `harness cache --clear features` makes room,"
        f" {LIMIT}=N raises the limit, a smaller data.image_size takes less"
    )


def _limit() -> float:
    given = os.environ.get(LIMIT, "")
    try:
        return float(given or LIMIT_GIB) * 2**30
    except ValueError:
        raise HarnessError(f"{LIMIT}={given}: expected a number of GiB, such as {LIMIT_GIB:g}") from None


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"


def _extract(
    backbone: Backbone, inputs: Inputs, rows: Rows, shape: Shape, device: torch.device, precision: str, folder: Path
) -> int:
    """The number of images that went through the backbone, their features written into `folder`."""
    maps = open_memmap(folder / "maps.npy", mode="w+", dtype=np.float32, shape=(len(rows), *shape))
    moments = open_memmap(folder / "moments.npy", mode="w+", dtype=np.float32, shape=(len(rows), 2, shape[0]))
    passes = extract(backbone, inputs, rows, maps, moments, device, precision)
    maps.flush()
    moments.flush()
    return passes


def extract(
    backbone: Backbone, inputs: Inputs, rows: Rows, maps: Array, moments: Array, device: torch.device, precision: str
) -> int:
    """The number of images that went through the backbone, their features written into both arrays."""
    passes, batch = 0, CPU_BATCH if device.type == "cpu" else BATCH
    with torch.inference_mode(), kept_memory() if device.type == "cpu" else nullcontext():
        for start in range(0, len(rows), batch):
            images = inputs(rows[start : start + batch])
            with autocast(precision, device):
                features = backbone(images)
            passes += len(images)
            features = features.float()
            mean, variance = moments_of(features)
            maps[start : start + batch] = features.contiguous().cpu().numpy()  # torch orders them faster than numpy
            release(maps)  # what is written stays in the file, and need not stay in memory
            moments[start : start + batch] = torch.stack((mean, variance), dim=1).cpu().numpy()
    return passes
