"""Images a second of fine-tuning, eager and with the whole step as one graph; its shares of what the GPU could do."""

import gc
from collections.abc import Iterator

import numpy as np
import torch

from harness.training.augment import Augmentation
from harness.training.fit import shuffled_batches
from tests.bench.figure import Bench, Goal, Row, seconds
from tests.bench.gpu.loop import EAGER, GRAPH, UNFUSED, Scale, in_words, no_cuda, random_pixels, time_fit, wait
from tests.bench.gpu.roof import Roof

LOADER, LOADER_GOAL = "loader only / a step of resnet50", Goal("<=", 0.03)


def measure(bench: Bench) -> Iterator[Row] | list[Row]:
    """The rows of both backbones."""
    if not torch.cuda.is_available():
        return no_cuda("gpu-steps")
    device = torch.device("cuda")
    return rows_of(Scale.of(bench), device, Roof(device))


def rows_of(scale: Scale, device: torch.device, roof: Roof) -> Iterator[Row]:
    """Each backbone in three ways, and the shares of the last, which is the default."""
    work = in_words(scale, device)
    for backbone in scale.backbones:
        for way in (EAGER, UNFUSED, GRAPH):
            timed = time_fit(backbone, way, scale, device)
            yield timed.row(f"images/s: {backbone}, {way.name}", work, scale.batch)
        yield from roof.rows(backbone, way, scale, timed, work)
        if backbone == scale.backbones[0]:
            share = loading_seconds(scale, device) / timed.per_image
            yield Row(LOADER, share, f"{work}; gather, normalise, flip and affine; nothing else.", LOADER_GOAL)
        free(device)


def loading_seconds(scale: Scale, device: torch.device) -> float:
    """Of one image from the resident pixels to an augmented batch."""
    loader = random_pixels(scale, device)
    augment = Augmentation("flip+affine", scale.images, 0, device)

    def epoch() -> None:
        seen = 0
        for images in loader(list(shuffled_batches(np.arange(scale.images), scale.batch, 0))):
            augment(images, seen)
            seen += len(images)
        wait(device)

    epoch()
    return seconds(epoch) / scale.images


def free(device: torch.device) -> None:
    """Give the memory of what is no longer used back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
