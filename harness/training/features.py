"""The features of a frozen backbone, computed once and cached: every head, fold and later run reads the same files."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.dataset import Rows
from harness.data.pixels import open_pixels
from harness.errors import HarnessError
from harness.models.anatomy import Anatomy
from harness.models.backbone import Backbone, anatomy_of, load_backbone
from harness.models.repositories import require_source
from harness.store.cache import size_of
from harness.store.failpoints import failpoint
from harness.store.files import creation_lock, new_folder, sync_folder
from harness.study.allowed import Pool
from harness.study.identity import digest
from harness.study.origin import package_of, portable_name
from harness.study.plan import Job, features_key
from harness.study.settings import ResolvedSettings
from harness.training.context import Context
from harness.training.device import Arithmetic, all_cores, device_name, resolve_precision
from harness.training.extract import MAPS, MOMENTS, FeatureArrays, extract
from harness.training.loaders import FeatureFiles, PixelLoader

EXTRACTOR = 4  # raise it when the features that come out change
LIMIT_VARIABLE = "HARNESS_CACHE_GIB"  # limits what all features of a store take
LIMIT_GIB = 100.0
About = dict[str, str | int | float]
ABOUT = "about.json"


@dataclass(frozen=True)
class FrozenBackbone:
    """A backbone whose features are cached. weights: their digest. load: called only if features are missing.

    pools: those that other jobs read of it; they are extracted in the same pass, if they are missing too.
    """

    settings: ResolvedSettings
    weights: str
    load: Callable[[], Backbone]
    pools: frozenset[Pool] = frozenset()

    @property
    def all_pools(self) -> frozenset[Pool]:
        """The pools that other jobs read, and that of the settings."""
        return self.pools | {self.settings.pooling}

    def anatomy(self, pool: Pool) -> Anatomy:
        """What the backbone gives by this pool."""
        return anatomy_of(self.settings.model_copy(update={"pool": pool}))


@dataclass(frozen=True)
class CachedFeatures:
    """The cached features of some images, a file for each split."""

    files: tuple[FeatureFiles, ...]
    passes: int  # images that went through the backbone now; 0 where the features were cached before
    seconds: float  # of the extraction, now or before
    parameters: int  # of the backbone

    def vectors(self, rows: Rows) -> NDArray[np.float32]:
        """The vectors [n, C] of training rows of the manifest. Of features that are vectors, not maps."""
        found, _ = self.files[0].read("means")
        return found[rows - self.files[0].first]


def cached_features(job: Job, context: Context) -> CachedFeatures:
    """The features that a job reads, extracted now if they are not cached; of the test images for a test job only."""
    settings, device = job.scenario.settings, torch.device(context.device)
    weights = context.digests.weights[settings.backbone, settings.weights]
    require_source(settings.backbone, weights)
    identity = f"{weights}:{context.seed}" if weights.startswith("none") else weights
    pools = context.pools.get(features_key(settings) or "", frozenset())
    backbone = FrozenBackbone(settings, identity, partial(load_backbone, settings, context.seed, pools), pools)
    pixels = context.pixels[settings.framing]
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
    images = _Images(pixels, rows)
    folders = {pool: folder / _key(backbone, images, pool, arithmetic) for pool in sorted(backbone.all_pools)}
    own = folders[backbone.settings.pooling]
    passes = 0
    if not own.is_dir():
        with ExitStack() as locks:
            for path in sorted(folders.values()):
                locks.enter_context(creation_lock(path))
            if not own.is_dir():
                missing = {pool: path for pool, path in folders.items() if not path.is_dir()}
                passes = _write(backbone, images, missing, arithmetic)
    about = json.loads((own / ABOUT).read_text(encoding="utf-8"))
    moments = own / MOMENTS
    files = FeatureFiles(int(rows[0]), own / MAPS, moments if moments.exists() else None)
    return CachedFeatures((files,), passes, float(about["seconds"]), int(about["parameters"]))


class _Images(NamedTuple):
    """Consecutive rows of a pixel file."""

    pixels: Path
    rows: Rows


def _about(frozen: FrozenBackbone, images: _Images, pool: Pool, arithmetic: Arithmetic) -> About:
    """All that decides the features."""
    about: About = {
        "backbone": portable_name(frozen.settings.backbone), "weights": frozen.weights,
        "image_size": frozen.settings.image_size, "precision": arithmetic.precision,
        "device": device_name(arithmetic.device), "pixels": images.pixels.stem,
        "first": int(images.rows[0]), "images": len(images.rows),
    }  # fmt: skip
    return about if pool == "map" else about | {"pool": pool}


def _key(frozen: FrozenBackbone, images: _Images, pool: Pool, arithmetic: Arithmetic) -> str:
    about = _about(frozen, images, pool, arithmetic)
    package = package_of(frozen.settings.backbone)
    libraries = [version("timm"), *([version(package)] if package else [])]
    return digest([EXTRACTOR, *libraries, torch.__version__, about])


def _write(frozen: FrozenBackbone, images: _Images, folders: Mapping[Pool, Path], arithmetic: Arithmetic) -> int:
    """Extract the features of each pool into its folder, all in one pass, and return the number of images passed.

    Each folder appears whole or not at all.
    """
    backbone = frozen.load().put_on(arithmetic.device).eval()
    loader = PixelLoader(open_pixels(images.pixels), backbone.mean, backbone.std, arithmetic.device)
    known = {pool: frozen.anatomy(pool) for pool in folders}
    parent, count = next(iter(folders.values())).parent, len(images.rows)
    _require_room(parent, count, known, frozen.settings.backbone)
    with new_folder(parent) as new:
        started = time.perf_counter()
        arrays = {pool: FeatureArrays.in_folder(new / pool, count, known[pool].shape, pool) for pool in folders}
        passes = extract(
            backbone, loader, images.rows, {known[pool].layout: arrays[pool] for pool in folders}, arithmetic
        )
        seconds = time.perf_counter() - started
        for pool, (maps, moments) in arrays.items():
            for array in (maps, moments):
                if array is not None:
                    array.flush()  # type: ignore[attr-defined]
            about = _about(frozen, images, pool, arithmetic) | {"passes": passes, "seconds": seconds}
            about |= {"parameters": known[pool].size(frozenset(known[pool].read)), "values": "float32"}
            (new / pool / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
            sync_folder(new / pool)
        failpoint("features.written")
        for pool, folder in folders.items():
            (new / pool).rename(folder)
        failpoint("features.replaced")
    return passes


def _require_room(folder: Path, images: int, known: Mapping[Pool, Anatomy], backbone: str) -> None:
    """Raise HarnessError if the features do not fit below the limit, or on the disk, before any is computed."""
    values = sum(math.prod(of.shape) + (2 * of.shape[0] if pool == "map" else 0) for pool, of in known.items())
    needed = images * values * 4
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
