"""The features of a frozen backbone, computed once and kept: every head, fold and later run reads the same files."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap

from harness.data.cache import open_pixels
from harness.models.backbone import Backbone, feature_shape
from harness.models.heads import Shape
from harness.plan import digest
from harness.settings import Settings
from harness.store import new_folder, sync_folder
from harness.training.device import autocast
from harness.training.inputs import Inputs, PixelInputs, Rows

EXTRACTOR = 2  # raise it when the features that come out change
BATCH = 64


@dataclass(frozen=True)
class Features:
    """The kept features of some images.

    `maps`: float32 [n, C, h, w]. `moments`: float32 [n, 2, C], of each image and channel the mean and the variance
    over its map, all that a head needs that pools first. `passes`: the images that went through the backbone now,
    0 where the features were there already.
    """

    maps: Path
    moments: Path
    passes: int


def frozen_features(
    settings: Settings,
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
    size = settings.image_size or 0
    about: dict[str, str | int | float] = {
        "backbone": settings.backbone, "weights": weights, "image_size": size, "precision": precision,
        "device": device.type, "pixels": pixels.stem, "first": int(rows[0]), "images": len(rows),
    }  # fmt: skip
    kept = folder / digest([EXTRACTOR, version("timm"), about])
    passes = 0
    if not kept.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{kept.name}.lock"):
            if not kept.is_dir():
                backbone = load().to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
                inputs = PixelInputs(open_pixels(pixels), backbone.mean, backbone.std, device)
                with new_folder(folder) as new:
                    started = time.perf_counter()
                    passes = _extract(backbone, inputs, rows, feature_shape(backbone, size), device, precision, new)
                    about |= {"passes": passes, "seconds": time.perf_counter() - started}
                    (new / "about.json").write_text(json.dumps(about, indent=1))
                    sync_folder(new)
                    new.rename(kept)
    return Features(kept / "maps.npy", kept / "moments.npy", passes)


def _extract(
    backbone: Backbone, inputs: Inputs, rows: Rows, shape: Shape, device: torch.device, precision: str, folder: Path
) -> int:
    """The number of images that went through the backbone, their features written into `folder`."""
    maps = open_memmap(folder / "maps.npy", mode="w+", dtype=np.float32, shape=(len(rows), *shape))
    moments = open_memmap(folder / "moments.npy", mode="w+", dtype=np.float32, shape=(len(rows), 2, shape[0]))
    passes = 0
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            images = inputs(rows[start : start + BATCH])
            with autocast(precision, device):
                features = backbone(images)
            passes += len(images)
            features = features.float()
            variance, mean = torch.var_mean(features, dim=(2, 3), correction=0)
            maps[start : start + BATCH] = features.cpu().numpy()
            moments[start : start + BATCH] = torch.stack((mean, variance), dim=1).cpu().numpy()
    maps.flush()
    moments.flush()
    return passes
