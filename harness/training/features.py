"""The features of a frozen backbone, computed once and kept: every head, fold and later run reads the same file."""

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from harness.data.cache import open_pixels
from harness.failpoints import failpoint
from harness.models.backbone import Backbone, feature_shape
from harness.plan import digest
from harness.settings import Settings
from harness.store import new_folder
from harness.training.device import autocast
from harness.training.inputs import PixelInputs, Rows

EXTRACTOR = 1  # raise it when the features that come out change
BATCH = 64


def frozen_features(
    settings: Settings,
    load: Callable[[], Backbone],
    weights: str,
    pixels: Path,
    rows: Rows,
    folder: Path,
    device: torch.device,
    precision: str,
) -> Path:
    """The file with the features [n, C, h, w] of these rows, float32, computed now if it is not there yet.

    load: gives the backbone, called only if it is needed. weights: the hash of its weights.
    rows: consecutive rows of the pixel file.
    """
    size = settings.image_size or 0
    key = digest([
        EXTRACTOR, version("timm"), settings.backbone, weights, size, precision, device.type,
        pixels.name, int(rows[0]), len(rows),
    ])  # fmt: skip
    path = folder / f"{key}.npy"
    if path.exists():
        return path
    backbone = load().to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    inputs = PixelInputs(open_pixels(pixels), backbone.mean, backbone.std, device)
    with new_folder(folder) as new:
        part = new / path.name
        shape = (len(rows), *feature_shape(backbone, size))
        features = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
        with torch.inference_mode(), autocast(precision, device):
            for start in range(0, len(rows), BATCH):
                batch = backbone(inputs(rows[start : start + BATCH]))
                features[start : start + BATCH] = batch.float().cpu().numpy()
        features.flush()
        with part.open("rb") as file:
            os.fsync(file.fileno())
        failpoint("features.written")
        part.replace(path)
        failpoint("features.replaced")
    return path
