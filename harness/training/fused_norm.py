"""Batch norm with what follows it: an addition and a ReLU. On CUDA all of it in one pass over the map."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

# Measured on an H200 with the maps of a ResNet-50: programs of one warp, and many of them, wait least for memory.
SLABS = 2112  # of rows, at most, whose sums are made at a time: sixteen for each of its multiprocessors
TALL, WIDE = 16, 64  # rows and channels that a program reads at a time
MERGED = (256, 8)  # slabs and channels that a program adds at a time
INDEXED = 2**31  # elements that 32-bit indices reach


class FusedNorm(nn.Module):
    """Batch norm in training, with what follows it. It holds no weights: they are given with the map.

    readers: how many read the result, 1 or 2, each its own; their gradients are added in the pass that reads them.
    """

    def __init__(self, eps: float, momentum: float, relu: bool) -> None:
        super().__init__()
        self.eps, self.momentum, self.relu, self.readers = eps, momentum, relu, 1

    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, added: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """The result for each reader; moves the running `mean` and `variance`.

        Maps that the kernels do not take are left to torch.
        """
        if are_taken(x, added):
            found: Tensor | tuple[Tensor, ...] = _Fused.apply(x, weight, bias, mean, variance, added, self)
            return found
        y = batch_norm(x, mean, variance, weight, bias, True, self.momentum, self.eps)
        y = y if added is None else y + added
        y = y.relu() if self.relu else y
        return y if self.readers == 1 else (y,) * self.readers


def are_taken(x: Tensor, added: Tensor | None = None) -> bool:
    """Whether the kernels take these maps: bf16 on CUDA, each pixel's channels side by side."""
    maps = [x] if added is None else [x, added]
    return (
        runs_kernels(x)
        and x.numel() < INDEXED
        and x.numel() > x.shape[1]
        and all(
            one.dtype == torch.bfloat16
            and one.shape == x.shape
            and one.is_contiguous(memory_format=torch.channels_last)
            for one in maps
        )
    )


def runs_kernels(x: Tensor) -> bool:
    """Whether kernels run where a tensor is."""
    return x.is_cuda


class _Fused(torch.autograd.Function):
    """The kernels, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> Any:
        mean, variance, added, norm = rest
        grid, y = Grid.of(x), torch.empty_like(x)
        sums, squares = grid.of_slabs(), grid.of_slabs()
        centre, scale = torch.empty_like(weight), torch.empty_like(weight)
        signs = grid.of_signs() if added is not None and norm.relu else None
        with kernels("norm", x) as make:
            make.moments_of_slabs[grid.slabwise](
                x, sums, squares, grid.rows, grid.channels, grid.slab, TALL, grid.wide, **grid.launched(1)
            )
            make.merge_moments[grid.channelwise](
                x, sums, squares, centre, scale, mean, variance, grid.rows, grid.channels, grid.slabs, norm.eps,
                norm.momentum, *MERGED, **grid.launched(8),
            )  # fmt: skip
            make.normalise[grid.tilewise](
                x, y, x if added is None else added, x if signs is None else signs, centre, scale, weight, bias,
                grid.rows, grid.channels, added is not None, norm.relu, signs is not None, TALL, grid.wide,
                **grid.launched(2),
            )  # fmt: skip
        ctx.save_for_backward(x, weight, bias, centre, scale, signs)
        ctx.norm, ctx.added = norm, added is not None
        return y if norm.readers == 1 else (y, y.view_as(y))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, centre, scale, signs = ctx.saved_tensors
        given = [one.contiguous(memory_format=torch.channels_last) for one in gradients if one is not None]
        first, other, two = given[0], given[-1], len(given) == 2
        passed = torch.empty_like(x) if two or signs is not None else first
        grid, of_x, about = Grid.of(x), torch.empty_like(x), (centre, scale, weight, bias)
        sums, products = grid.of_slabs(), grid.of_slabs()
        of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
        with kernels("norm", x) as make:
            make.gradients_of_slabs[grid.slabwise](
                x, x if signs is None else signs, first, other, passed, *about, sums, products, grid.rows,
                grid.channels, grid.slab, passed is not first, two, signs is not None, ctx.norm.relu, TALL // 2,
                grid.wide, **grid.launched(1),
            )  # fmt: skip
            make.merge_gradients[grid.channelwise](
                sums, products, of_bias, of_weight, grid.channels, grid.slabs, *MERGED, **grid.launched(8)
            )
            make.gradient_of_input[grid.tilewise](
                x, passed, of_x, *about, of_bias, of_weight, grid.rows, grid.channels,
                ctx.norm.relu and passed is first, TALL, grid.wide, **grid.launched(2),
            )  # fmt: skip
        return of_x, of_weight, of_bias, None, None, passed if ctx.added else None, None


@dataclass(frozen=True)
class Grid:
    """How a map [n, C, h, w] is divided among the programs of a kernel: as rows, its pixels, and channels."""

    rows: int
    channels: int
    wide: int  # channels of a program
    slab: int  # rows whose sums one program makes
    device: torch.device

    @staticmethod
    def of(x: Tensor) -> "Grid":
        """The division of a map."""
        channels = x.shape[1]
        rows, wide = x.numel() // channels, min(WIDE, max(16, _power(channels)))
        slabs = max(1, min(-(-rows // TALL), SLABS // -(-channels // wide)))
        return Grid(rows, channels, wide, -(-rows // (slabs * TALL)) * TALL, x.device)

    @property
    def slabs(self) -> int:
        """The number of slabs; none is empty."""
        return -(-self.rows // self.slab)

    @property
    def slabwise(self) -> tuple[int, int]:
        """The programs of a kernel that makes sums of slabs."""
        return -(-self.channels // self.wide), self.slabs

    @property
    def tilewise(self) -> tuple[int, int]:
        """The programs of a kernel that writes a map."""
        return -(-self.rows // TALL), -(-self.channels // self.wide)

    @property
    def channelwise(self) -> tuple[int]:
        """The programs of a kernel that merges slabs."""
        return (-(-self.channels // MERGED[1]),)

    def of_slabs(self) -> Tensor:
        """Room for a number of each slab and channel."""
        return torch.empty(self.slabs, self.channels, device=self.device, dtype=torch.float32)

    def of_signs(self) -> Tensor:
        """Room for a bit of each pixel and channel."""
        return torch.empty(self.rows, -(-self.channels // 8), device=self.device, dtype=torch.uint8)

    def launched(self, warps: int) -> dict[str, Any]:
        """How a kernel is launched by so many warps a program."""
        return {"num_warps": warps, **launched_early(self.device)}


@cache
def launched_early(device: torch.device) -> dict[str, bool]:
    """The options of a kernel whose programs may start before the kernel in front has ended: from Hopper on."""
    early = device.type == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(device) >= (9, 0)
    return {"EARLY": True, "launch_pdl": True} if early else {}


def _power(number: int) -> int:
    """The smallest power of two that is not below a number."""
    return 1 << (number - 1).bit_length()


@contextmanager
def kernels(of: str, x: Tensor) -> Iterator[Any]:
    """The module of the kernels of `norm` or `window`, to be launched where a tensor is.

    It is imported here: Triton comes with torch for CUDA alone.
    """
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        yield import_module(f"harness.training.{of}_kernels")
