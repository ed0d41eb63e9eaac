"""The features of a frozen backbone, computed once and cached: every head, fold and later run reads the same files."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from harness.data.dataset import Rows
from harness.data.pixels import open_pixels, release
from harness.errors import HarnessError
from harness.models.backbone import Backbone, feature_shape, load_backbone
from harness.models.heads import Shape, moments_of
from harness.store.cache import size_of
from harness.store.failpoints import failpoint
from harness.store.files import creation_lock, new_folder, sync_folder
from harness.study.identity import digest
from harness.study.plan import Job
from harness.study.settings import ResolvedSettings
from harness.training.allocator import held_memory
from harness.training.context import Context
from harness.training.device import Arithmetic, all_cores, device_name, resolve_precision
from harness.training.loaders import FeatureFiles, Loader, PixelLoader, parts_of

EXTRACTOR = 4  # raise it when the features that come out change
IMAGES_AT_A_TIME, IMAGES_AT_A_TIME_ON_CPU = 64, 32  # on a CPU more of them take memory and no less time
LIMIT_VARIABLE = "HARNESS_CACHE_GIB"  # limits what all features of a store take
LIMIT_GIB = 100.0
About = dict[str, str | int | float]


@dataclass(frozen=True)
class FrozenBackbone:
    """A backbone whose features are cached. weights: their digest. load: called only if features are missing."""

    settings: ResolvedSettings
    weights: str
    load: Callable[[], Backbone]


@dataclass(frozen=True)
class CachedFeatures:
    """The cached features of some images, a file for each split."""

    files: tuple[FeatureFiles, ...]
    passes: int  # images that went through the backbone now; 0 where the features were cached before
    seconds: float  # of the extraction, now or before
    parameters: int  # of the backbone


class FeatureArrays(NamedTuple):
    """Room for the features of n images."""

    maps: NDArray[np.float32]  # [n, C, h, w]
    moments: NDArray[np.float32]  # [n, 2, C]: of each map the mean and the variance, all that a head needs that pools

    @staticmethod
    def empty(images: int, shape: Shape) -> "FeatureArrays":
        """Arrays in memory."""
        maps, moments = (np.empty(full, dtype=np.float32) for full in _shapes(images, shape))
        return FeatureArrays(maps, moments)

    @staticmethod
    def in_folder(folder: Path, images: int, shape: Shape) -> "FeatureArrays":
        """Arrays that are mapped to the files `maps.npy` and `moments.npy`."""
        return FeatureArrays(*(
            open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=full)
            for name, full in zip(("maps", "moments"), _shapes(images, shape), strict=True)
        ))  # fmt: skip


def _shapes(images: int, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (images, *shape), (images, 2, shape[0])


def cached_features(job: Job, context: Context) -> CachedFeatures:
    """The features that a job reads, extracted now if they are not cached; of the test images for a test job only."""
    settings, device = job.scenario.settings, torch.device(context.device)
    weights = context.digests.weights[settings.backbone, settings.weights]
    identity = f"{weights}:{context.seed}" if weights == "none" else weights
    backbone = FrozenBackbone(settings, identity, partial(load_backbone, settings, context.seed))
    pixels = context.pixels[settings.image_size]
    arithmetic = Arithmetic(device, resolve_precision(settings.precision, device))
    parts = []
    for split in context.dataset.splits if job.evaluate == "test" else ("train",):
        with all_cores():
            parts.append(frozen_features(backbone, pixels, context.dataset.rows(split), context.features, arithmetic))
    return CachedFeatures(
        files=tuple(file for part in parts for file in part.files),
        passes=sum(part.passes for part in parts),
        seconds=sum(part.seconds for part in parts),
        parameters=parts[0].parameters,
    )


def frozen_features(
    backbone: FrozenBackbone, pixels: Path, rows: Rows, folder: Path, arithmetic: Arithmetic
) -> CachedFeatures:
    """The features of these consecutive rows of the pixel file, extracted now if `folder` does not have them.

    A second process waits for the first.
    """
    settings = backbone.settings
    about: About = {
        "backbone": settings.backbone, "weights": backbone.weights, "image_size": settings.image_size,
        "precision": arithmetic.precision, "device": device_name(arithmetic.device), "pixels": pixels.stem,
        "first": int(rows[0]), "images": len(rows),
    }  # fmt: skip
    cached = folder / digest([EXTRACTOR, version("timm"), torch.__version__, about])
    passes = 0
    if not cached.is_dir():
        with creation_lock(cached):
            if not cached.is_dir():
                passes = _write(backbone, pixels, rows, cached, arithmetic, about)
    about = json.loads((cached / "about.json").read_text(encoding="utf-8"))
    files = FeatureFiles(int(rows[0]), cached / "maps.npy", cached / "moments.npy")
    return CachedFeatures((files,), passes, float(about["seconds"]), int(about["parameters"]))


def _write(frozen: FrozenBackbone, pixels: Path, rows: Rows, cached: Path, arithmetic: Arithmetic, about: About) -> int:
    """Extract features into the folder `cached`, whole or not at all, and return the number of images passed."""
    backbone = frozen.load().put_on(arithmetic.device).eval()
    loader = PixelLoader(open_pixels(pixels), backbone.mean, backbone.std, arithmetic.device)
    shape = feature_shape(backbone, frozen.settings.image_size)
    _require_room(cached.parent, len(rows), shape, frozen.settings.backbone)
    with new_folder(cached.parent) as new:
        started = time.perf_counter()
        arrays = FeatureArrays.in_folder(new, len(rows), shape)
        passes = extract(backbone, loader, rows, arrays, arithmetic)
        for array in arrays:
            array.flush()  # type: ignore[attr-defined]
        about |= {"passes": passes, "seconds": time.perf_counter() - started, "parameters": backbone.size}
        (new / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        sync_folder(new)
        failpoint("features.written")
        new.rename(cached)
        failpoint("features.replaced")
    return passes


def _require_room(folder: Path, images: int, shape: Shape, backbone: str) -> None:
    """Raise HarnessError if the features do not fit below the limit, or on the disk, before any is computed."""
    needed = images * (math.prod(shape) + 2 * shape[0]) * 4
    cached, free = size_of(folder) if folder.is_dir() else 0, shutil.disk_usage(folder).free
    limit = _limit()
    if cached + needed <= limit and needed < free:
        return
    raise HarnessError(
        f"the features of {backbone} for {images:,} images take {_gib(needed)}: the cache holds {_gib(cached)} of at"
        f" most {_gib(limit)}, and {_gib(free)} of the disk are free; `harness cache --clear features` makes room,"
        f" {LIMIT_VARIABLE}=N raises the limit, a smaller data.image_size takes less"
    )


def _limit() -> float:
    given = os.environ.get(LIMIT_VARIABLE, "")
    try:
        return float(given or LIMIT_GIB) * 2**30
    except ValueError:
        raise HarnessError(f"{LIMIT_VARIABLE}={given}: expected a number of GiB, such as {LIMIT_GIB:g}") from None


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"


def extract(backbone: Backbone, loader: Loader, rows: Rows, arrays: FeatureArrays, arithmetic: Arithmetic) -> int:
    """Write the features of these rows into the arrays, and return the number of images passed through the backbone."""
    on_cpu = arithmetic.device.type == "cpu"
    passes, batch = 0, IMAGES_AT_A_TIME_ON_CPU if on_cpu else IMAGES_AT_A_TIME
    with torch.inference_mode(), held_memory() if on_cpu else nullcontext():
        for start, images in zip(range(0, len(rows), batch), loader(parts_of(rows, batch)), strict=True):
            with arithmetic.autocast():
                features = backbone(images)
            passes += len(images)
            features = features.float()
            mean, variance = moments_of(features)
            # torch orders the values of maps faster than numpy.
            arrays.maps[start : start + batch] = features.contiguous().cpu().numpy()
            release(arrays.maps)  # what is written stays in the file, and need not stay in memory
            arrays.moments[start : start + batch] = torch.stack((mean, variance), dim=1).cpu().numpy()
    return passes
