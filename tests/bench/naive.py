"""What a user would write instead: every epoch of every fit sends its images through the frozen backbone again."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from harness.data.pixels import open_pixels
from harness.models.backbone import Backbone
from harness.training.device import Arithmetic
from harness.training.loaders import PixelLoader
from tests.bench.figure import seconds

BATCH = 64
Batches = Iterator[tuple[Tensor, Tensor]]


def folder_batches(folder: Path, backbone: Backbone, size: int) -> Batches:
    """Shuffled batches as most tutorials make them: ImageFolder, decoded and resized for each epoch, DataLoader."""
    change = transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(backbone.mean, backbone.std)]
    )
    loader = DataLoader(datasets.ImageFolder(str(folder), change), BATCH, shuffle=True, drop_last=True)
    return cycle(loader)  # keeps what it has decoded, which the short samples here never reach


def cached_batches(pixels: Path, labels: Tensor, backbone: Backbone) -> Batches:
    """Shuffled batches from pixels that were decoded once, channels last."""
    loader = PixelLoader(open_pixels(pixels), backbone.mean, backbone.std, torch.device("cpu"))
    while True:
        order = np.random.permutation(len(labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            yield next(loader([rows])), labels[rows]


def seconds_per_image(backbone: Backbone, head: nn.Module, batches: Batches, precision: str, steps: int) -> float:
    """Of a training step on the head, measured over `steps` after one to warm up. To score an image takes as long."""
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-4)
    backbone.eval()

    def step() -> None:
        images, labels = next(batches)
        with torch.no_grad(), Arithmetic(torch.device("cpu"), precision).autocast():
            features = backbone(images)
        loss = cross_entropy(head(features.float()), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def several() -> None:
        for _ in range(steps):
            step()

    step()
    return seconds(several) / (steps * BATCH)
