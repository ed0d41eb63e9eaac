"""Dropout of single elements: on a CPU in a fraction of the time of torch's."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

PART_ELEMENTS = 2**17  # that stay in the cache of a processor: 512 KiB in fp32


class Dropout(nn.Module):
    """Zero elements with probability `p` and scale the others by 1 / (1 - p), only in training (Hinton et al. 2012).

    On a CPU NumPy draws the mask, seeded by torch: the same distribution as torch's dropout, with p rounded to a
    multiple of 2**-16, in a fraction of the time. Features of a frozen backbone are multiplied a few images at a time.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return features
        if not is_frozen(features):
            return features * dropout_mask(tuple(features.shape), self.p, features.device).to(features.dtype)
        dropped = torch.empty_like(features)
        for part, into in zip(self._masked(features), torch.split(dropped, _images(features)), strict=True):
            torch.mul(*part, out=into)
        return dropped

    def parts(self, features: Tensor) -> Iterator[Tensor]:
        """The result a few images at a time, in memory that the next part uses again; else, or on a GPU, as a whole.

        With several threads as a whole: what reduces a part could take another order than in the whole.
        """
        if not self.training or self.p == 0 or not is_frozen(features) or torch.get_num_threads() > 1:
            yield self(features)
            return
        room = torch.empty_like(features[: _images(features)])
        for part, mask in self._masked(features):
            yield torch.mul(part, mask, out=room[: len(part)])

    def _masked(self, features: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """A few images at a time, each with its mask."""
        size = _images(features)
        yield from zip(torch.split(features, size), _mask_parts(tuple(features.shape), self.p, size), strict=True)


def dropout_mask(
    shape: tuple[int, ...], p: float, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """A float32 mask of this shape: 0 with probability p, else 1 / (1 - p).

    generator: of this device; None: torch's default generator. Equal seeds give equal masks.
    """
    if device.type != "cpu":
        return torch.empty(shape, device=device).bernoulli_(1 - p, generator=generator).div_(1 - p)
    return next(_mask_parts(shape, p, shape[0], generator))


def _mask_parts(
    shape: tuple[int, ...], p: float, size: int, generator: torch.Generator | None = None
) -> Iterator[Tensor]:
    """The mask of this shape on a CPU, `size` of its rows at a time."""
    bits = 8 if (p * 2**8).is_integer() else 16
    count, of_row = math.prod(shape), math.prod(shape[1:])
    numbers = np.random.Generator(np.random.SFC64(int(torch.randint(2**62, (), generator=generator))))
    words = numbers.integers(0, 2**64, -(-count * bits // 64), dtype=np.uint64)
    raw: NDArray[np.uint16] = words.view(f"u{bits // 8}")[:count]
    least, scale = min(round(p * 2**bits), 2**bits - 1), np.float32(1 / (1 - p))
    for start in range(0, shape[0], size):
        passed = raw[start * of_row : (start + size) * of_row] >= least
        yield torch.from_numpy(np.multiply(passed, scale, dtype=np.float32).reshape(-1, *shape[1:]))


def is_frozen(features: Tensor) -> bool:
    """Whether these are features of a frozen backbone on a CPU, of which nothing has to be stored for a gradient."""
    plain = features.dtype == torch.float32 and features.is_contiguous() and features.numel() > 0
    return plain and features.device.type == "cpu" and not features.requires_grad


def _images(features: Tensor) -> int:
    """The number of images of which the features and their mask stay in the processor's cache."""
    return max(1, PART_ELEMENTS // features[0].numel())
