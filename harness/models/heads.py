"""Classification heads: features [n, C, H, W] -> dropout or batch norm -> average pool or flatten -> linear."""

from collections.abc import Callable
from importlib import import_module
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from harness.errors import HarnessError
from harness.models.custom import head_class
from harness.models.dropout import Dropout, is_frozen
from harness.models.names import HEADS
from harness.study.settings import Settings

Shape = tuple[int, int, int]  # C, H, W of the features
Reads = Literal["maps", "moments", "means"]  # moments: mean and variance of the map of each channel, [2, C]


def make_head(settings: Settings, shape: Shape, classes: int, source: str | None = None, seed: int = 0) -> nn.Module:
    """Make the head of the settings for features of this shape: [n, C, H, W] -> logits [n, classes].

    source: of the file of a custom head. seed: for random numbers in the constructor of a custom head.
    """
    if source is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = head_class(settings.head, source)(shape, classes, settings)
    else:
        module, _, name = HEADS[settings.head].partition(":")
        head = getattr(import_module(module), name)(shape, classes, settings)
    if not isinstance(head, nn.Module):
        raise HarnessError(f"{settings.head} is not a torch.nn.Module")
    return head if settings.prior_correction == "off" else Corrected(head, classes)


def bare(head: nn.Module) -> nn.Module:
    """The head itself, where its predictions are corrected."""
    return head.head if isinstance(head, Corrected) else head


def reads(head: nn.Module) -> Reads:
    """What a head in its current mode needs of each map [C, H, W]: all of it, its moments, or its means.

    A head that pools first has a method `reads` that returns this; it then accepts the moments [n, 2, C] or the means
    [n, C] instead of the maps.
    """
    method = getattr(head, "reads", None)
    found: Reads = method() if callable(method) else "maps"
    return found


def moments_of(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [..., C] of maps [..., C, H, W]; torch.var_mean takes twenty times as long on channels_last."""
    mean = maps.mean(dim=(-2, -1))
    return mean, (maps - mean[..., None, None]).square_().mean(dim=(-2, -1))


def part_read(head: nn.Module, maps: Tensor, moments: Tensor) -> Tensor:
    """Select what the head reads: the maps, their moments or their means."""
    return {"maps": maps, "moments": moments, "means": moments[:, 0].contiguous()}[reads(head)]


class Corrected(nn.Module):
    """A head whose predictions are for other class shares than it learnt from; in training it is the head itself.

    shift: what is added to the logits [classes], see `stats.priors`.
    """

    head: nn.Module
    shift: Tensor

    def __init__(self, head: nn.Module, classes: int) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("shift", torch.zeros(classes))

    def reads(self) -> Reads:
        """What the head reads."""
        return reads(self.head)

    def forward(self, features: Tensor) -> Tensor:
        logits = self.head(features)
        assert isinstance(logits, Tensor)
        return logits if self.training else logits + self.shift


class DropoutGap(nn.Module):
    """Dropout of the elements of the map, then global average pooling.

    Without dropout the mean of each channel is sufficient. In training the maps are read: the distribution of the mean
    of a map with dropped elements has no simpler exact form.
    """

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__()
        self.dropout = Dropout(settings.dropout)
        self.linear = nn.Linear(shape[0], classes)

    def reads(self) -> Reads:
        """The means, unless elements are dropped."""
        return "maps" if self.training and self.dropout.p else "means"

    def forward(self, features: Tensor) -> Tensor:
        return _logits(self.linear, features if features.ndim == 2 else self._pooled(features))

    def _pooled(self, maps: Tensor) -> Tensor:
        parts = [_average(part) for part in self.dropout.parts(maps)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class DropoutFlatten(nn.Module):
    """Dropout of the elements of the map, then one linear layer over all elements."""

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__()
        self.dropout = Dropout(settings.dropout)
        self.linear = nn.Linear(shape[0] * shape[1] * shape[2], classes)

    def forward(self, features: Tensor) -> Tensor:
        return _logits(self.linear, self.dropout(features).flatten(1))


class BatchNormGap(nn.Module):
    """Batch normalisation of the channels of the map, then global average pooling.

    Batch norm scales and shifts whole channels, so the moments of the maps give the same logits and the same running
    statistics as the maps themselves.
    """

    def __init__(self, shape: Shape, classes: int, _settings: Settings) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(shape[0])
        self.linear = nn.Linear(shape[0], classes)
        self.pixels = shape[1] * shape[2]

    def reads(self) -> Reads:
        """The moments."""
        return "moments"

    def forward(self, features: Tensor) -> Tensor:
        pooled = self._normed_mean(features) if features.ndim == 3 else _average(self.norm(features))
        return _logits(self.linear, pooled)

    def _normed_mean(self, moments: Tensor) -> Tensor:
        """The features [n, C] after batch norm and pooling, from the moments [n, 2, C] of the maps."""
        means, variances = moments.unbind(1)
        mean, variance = _statistics(self.norm, lambda: (means, variances), self.pixels)
        return (means - mean) * ((variance + self.norm.eps).rsqrt() * self.norm.weight) + self.norm.bias


class BatchNormFlatten(nn.Module):
    """Batch normalisation of the channels of the map, then one linear layer over all elements.

    Both are linear in the map, so with the features of a frozen backbone they are one product with scaled weights: the
    same logits, gradients and running statistics up to rounding, and no normalised map is written or read again. The
    rounding grows with the ratio of a channel's mean to its deviation.
    """

    def __init__(self, shape: Shape, classes: int, _settings: Settings) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(shape[0])
        self.linear = nn.Linear(shape[0] * shape[1] * shape[2], classes)
        self.pixels = shape[1] * shape[2]

    def forward(self, features: Tensor) -> Tensor:
        if not is_frozen(features):
            return _logits(self.linear, self.norm(features).flatten(1))
        mean, variance = _statistics(self.norm, lambda: moments_of(features), self.pixels)
        scale = (variance + self.norm.eps).rsqrt() * self.norm.weight
        weight = self.linear.weight.view(self.linear.out_features, -1, self.pixels)  # [classes, C, pixels]
        bias = self.linear.bias + weight.sum(dim=2) @ (self.norm.bias - mean * scale)
        return linear(features.flatten(1), (weight * scale[:, None]).flatten(1), bias)


def _statistics(
    norm: nn.BatchNorm2d, moments: Callable[[], tuple[Tensor, Tensor]], pixels: int
) -> tuple[Tensor, Tensor]:
    """Mean and variance [C] by which batch norm normalises: in training of the batch, else the running ones.

    moments: gives means and variances [n, C] of the batch's maps of so many pixels, asked for in training alone, which
    updates the running statistics.
    """
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.momentum is not None
    if not norm.training:
        return norm.running_mean, norm.running_var
    means, variances = moments()
    between, mean = torch.var_mean(means, dim=0, correction=0)
    variance = variances.mean(dim=0) + between
    count = len(means) * pixels
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
        if norm.num_batches_tracked is not None:  # else its batches are counted elsewhere
            norm.num_batches_tracked += 1
    return mean, variance


class Linear(nn.Module):
    """One linear layer on the vector of an image: logistic regression, trained by the optimizer."""

    def __init__(self, shape: Shape, classes: int, _settings: Settings) -> None:
        super().__init__()
        self.linear = nn.Linear(shape[0], classes)

    def reads(self) -> Reads:
        """The means, which of a vector are itself."""
        return "means"

    def forward(self, features: Tensor) -> Tensor:
        return _logits(self.linear, features if features.ndim == 2 else _average(features))


class Mlp(nn.Module):
    """One hidden layer on the vector of an image: linear, ReLU, dropout, linear."""

    HIDDEN = 512  # units

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__()
        self.hidden = nn.Linear(shape[0], self.HIDDEN)
        self.dropout = Dropout(settings.dropout)
        self.linear = nn.Linear(self.HIDDEN, classes)

    def reads(self) -> Reads:
        """The means, which of a vector are itself."""
        return "means"

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.hidden(features if features.ndim == 2 else _average(features)).relu()
        return _logits(self.linear, self.dropout(hidden))


def _average(features: Tensor) -> Tensor:
    """Global average pooling; the mean, unlike torch's adaptive pooling, has a deterministic gradient on CUDA."""
    return features.mean(dim=(2, 3))


def _logits(linear: nn.Linear, features: Tensor) -> Tensor:
    logits = linear(features)
    assert isinstance(logits, Tensor)
    return logits


def initialise(head: nn.Module, seed: int) -> None:
    """Initialise the weights of the head from the seed, independent of torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in head.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
