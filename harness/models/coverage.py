"""Measure how much of an image the patches of a network leave out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass
class Coverage:
    """The proportion of the image area that each layer with patches leaves out."""

    image_size: int
    _convolutions: list[float] = field(default_factory=list)
    _folds: list[float] = field(default_factory=list)

    @property
    def unread(self) -> float:
        """The proportion of the image that is outside all patches."""
        read = 1 - min(self._convolutions, default=0.0)
        for share in self._folds:
            read *= 1 - share
        return 1 - read

    @contextmanager
    def recording(self, network: nn.Module) -> Iterator[None]:
        """Record the layers of all forward passes within this block."""
        layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Unfold)]
        handles = [layer.register_forward_pre_hook(self._record) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _record(self, layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        given = arguments[0]
        if isinstance(layer, nn.Unfold):
            if layer.kernel_size == layer.stride:
                self._folds.append(_left_over(given, layer.kernel_size))
        elif isinstance(layer, nn.Conv2d) and given.shape[1:] == (3, self.image_size, self.image_size):
            patches = layer.kernel_size == layer.stride and layer.padding in ((0, 0), "valid")
            self._convolutions.append(_left_over(given, layer.kernel_size) if patches else 0.0)


def _left_over(given: Tensor, patch: Any) -> float:
    """The proportion of a map that complete patches of this size do not cover."""
    sides = (patch, patch) if isinstance(patch, int) else patch
    covered = [length // side * side / length for length, side in zip(given.shape[-2:], sides, strict=True)]
    return float(1 - covered[0] * covered[1])
