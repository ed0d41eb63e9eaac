"""Max pooling whose gradient on CUDA takes one pass over the map."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from harness.training.fused_norm import are_taken, kernels

TILE = (16, 64)  # pixels and channels of a program


class FusedPool(nn.Module):
    """Max pooling in training. Maps that the kernels do not take are left to torch."""

    def __init__(self, size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, C, h, w] -> the largest values of their windows."""
        if not are_taken(x):
            return max_pool2d(x, self.size, self.stride, self.padding)
        found: Tensor = _Largest.apply(x, self)
        return found


def fused_pool(pool: nn.Module | None) -> FusedPool | None:
    """The module in place of a max pooling; None where it has options that the kernels do not know."""
    if type(pool) is not nn.MaxPool2d or pool.dilation not in (1, (1, 1)) or pool.ceil_mode or pool.return_indices:
        return None
    size, stride, padding = (v if isinstance(v, int) else v[0] if len({*v}) == 1 else None
                             for v in (pool.kernel_size, pool.stride, pool.padding))  # fmt: skip
    if size is None or stride is None or padding is None or size > 15:
        return None
    return FusedPool(size, stride, padding)


class _Largest(torch.autograd.Function):
    """The kernels, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pool: FusedPool) -> Tensor:
        n, channels, height, width = x.shape
        rows, columns = ((side + 2 * pool.padding - pool.size) // pool.stride + 1 for side in (height, width))
        y = torch.empty(n, channels, rows, columns, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        place = torch.empty_like(y, dtype=torch.uint8)
        with kernels("window", x) as make:
            make.largest_of_windows[_grid(y)](
                x, y, place, n * rows * columns, channels, height, width, rows, columns, pool.size, pool.stride,
                pool.padding, *TILE, num_warps=4,
            )  # fmt: skip
        ctx.save_for_backward(place)
        ctx.pool, ctx.shape = pool, x.shape
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (place,), pool = ctx.saved_tensors, ctx.pool
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        n, channels, height, width = ctx.shape
        result = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last)
        with kernels("window", gradient) as make:
            make.gradient_of_largest[_grid(result)](
                gradient, place, result, n * height * width, channels, height, width, *place.shape[2:], pool.size,
                pool.stride, pool.padding, *TILE, num_warps=4,
            )  # fmt: skip
        return result, None


def _grid(y: Tensor) -> tuple[int, int]:
    """The programs that write a map."""
    return -(-(y.numel() // y.shape[1]) // TILE[0]), -(-y.shape[1] // TILE[1])
