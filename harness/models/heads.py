"""Classification heads: features [n, C, H, W] -> dropout or batch norm -> average pool or flatten -> linear."""

from importlib import import_module

import torch
from torch import Tensor, nn

from harness.models.names import HEADS
from harness.study import Settings

Shape = tuple[int, int, int]  # C, H, W of the features


def make_head(settings: Settings, shape: Shape, classes: int) -> nn.Module:
    """The head that the settings name, for features of this shape: [n, C, H, W] -> logits [n, classes]."""
    module, _, name = HEADS[settings.head].partition(":")
    head = getattr(import_module(module), name)(shape, classes, settings)
    assert isinstance(head, nn.Module)
    return head


class DropoutGap(nn.Module):
    """Dropout of the elements of the map, then global average pooling."""

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__()
        self.dropout = nn.Dropout(settings.dropout)
        self.linear = nn.Linear(shape[0], classes)

    def forward(self, features: Tensor) -> Tensor:
        return _logits(self.linear, _average(self.dropout(features)))


class DropoutFlatten(nn.Module):
    """Dropout of the elements of the map, every one of which has a weight of its own for each class."""

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__()
        self.dropout = nn.Dropout(settings.dropout)
        self.linear = nn.Linear(shape[0] * shape[1] * shape[2], classes)

    def forward(self, features: Tensor) -> Tensor:
        return _logits(self.linear, self.dropout(features).flatten(1))


class BatchNormGap(nn.Module):
    """Batch normalisation of the map's channels, then global average pooling."""

    def __init__(self, shape: Shape, classes: int, _settings: Settings) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(shape[0])
        self.linear = nn.Linear(shape[0], classes)

    def forward(self, features: Tensor) -> Tensor:
        return _logits(self.linear, _average(self.norm(features)))


class BatchNormFlatten(nn.Module):
    """Batch normalisation of the map's channels; every element has a weight of its own for each class."""

    def __init__(self, shape: Shape, classes: int, _settings: Settings) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(shape[0])
        self.linear = nn.Linear(shape[0] * shape[1] * shape[2], classes)

    def forward(self, features: Tensor) -> Tensor:
        return _logits(self.linear, self.norm(features).flatten(1))


def _average(features: Tensor) -> Tensor:
    """Global average pooling; the mean, unlike torch's adaptive pooling, has a deterministic gradient on CUDA."""
    return features.mean(dim=(2, 3))


def _logits(linear: nn.Linear, features: Tensor) -> Tensor:
    logits = linear(features)
    assert isinstance(logits, Tensor)
    return logits


def initialise(head: nn.Module, seed: int) -> None:
    """Draws the head's weights from a generator of its own, so that nothing drawn before matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in head.modules():
            if isinstance(module, (nn.Linear, nn.BatchNorm2d)):
                module.reset_parameters()
