"""Convolutions in training: the gradients of their weights beside the rest, and images of few channels in a wider form.

Nothing but the optimizer waits for the gradient of a weight, and few of them fill a GPU alone: they are computed on a
stream of their own, by the kernels that torch would use.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from harness.training.fused_norm import INDEXED, kernels, runs_kernels

PENDING = 4  # gradients of weights that are being computed, at most; what they read stays in memory until then
PIXELS = 64  # of a program


class Side:
    """The stream of a network's weight gradients."""

    def __init__(self) -> None:
        self._stream: Any = None
        self._pending: deque[tuple[torch.cuda.Event, tuple[Tensor, ...]]] = deque()
        self._made: list[Tensor | None] = []
        self._used: list[Tensor | None] = []

    def run(self, work: Callable[[], tuple[Tensor | None, ...]], *read: Tensor) -> tuple[Tensor | None, ...]:
        """Do work that reads these tensors, after all that the current stream was given; `join` waits for it."""
        if not read[0].is_cuda:
            return work()
        if self._stream is None:
            self._stream = torch.cuda.Stream(read[0].device)  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream(read[0].device))
        self._used.clear()  # whoever has read them is done: their memory may be written again on this stream
        with torch.cuda.stream(self._stream):
            found = work()
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._stream)
        self._made += found
        self._pending.append((done, read))
        if len(self._pending) > PENDING:
            self._wait()
        return found

    def join(self) -> None:
        """Let the current stream wait for all of it: before the gradients are read."""
        while self._pending:
            self._wait()
        self._used, self._made = self._made, []

    def _wait(self) -> None:
        done, (read, *_) = self._pending.popleft()
        torch.cuda.current_stream(read.device).wait_event(done)


class SideConv(nn.Module):
    """A convolution whose weight is given with the map: its gradient is there after `Side.join`."""

    def __init__(self, conv: nn.Conv2d, side: Side) -> None:
        super().__init__()
        self.options = (conv.stride, conv.padding, conv.dilation, False, [0, 0], conv.groups)
        self.side, self.is_narrow = side, _is_narrow(conv)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The convolution of maps [n, c, H, W]."""
        there = x.is_cuda or runs_kernels(x)
        if there and weight.dtype == torch.bfloat16 and weight.requires_grad and torch.is_grad_enabled():
            found: Tensor = _SideConv.apply(x.to(weight.dtype), weight, bias, self)
            return found
        stride, padding, dilation, *_, groups = self.options
        return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


class _SideConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, conv: SideConv) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.conv, ctx.bias = conv, None if bias is None else list(bias.shape)
        if conv.is_narrow and runs_kernels(x) and 6 * x.numel() < INDEXED:
            return _wider(x, weight, bias, int(conv.options[1][0]))
        found: Tensor = torch.ops.aten.convolution(x, weight, bias, *conv.options)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), conv, gradient = ctx.saved_tensors, ctx.conv, gradients[0]

        def of(*wanted: bool) -> tuple[Tensor | None, ...]:
            found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
                gradient, x, weight, ctx.bias, *conv.options, wanted
            )
            return found

        _, of_weight, of_bias = conv.side.run(lambda: of(False, True, ctx.bias is not None), gradient, x, weight)
        of_input = of(True, False, False)[0] if ctx.needs_input_grad[0] else None
        return of_input, of_weight, of_bias, None


def _is_narrow(conv: nn.Conv2d) -> bool:
    """Whether it reads images with few channels, and every second pixel."""
    return (
        conv.in_channels <= 4
        and conv.groups == 1
        and conv.stride == (2, 2)
        and conv.dilation == (1, 1)
        and len({*conv.kernel_size}) == len({*conv.padding}) == 1
        and conv.kernel_size[0] > 1
    )


def _wider(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """A convolution of stride 2 as one of stride 1, of maps with 16 channels and half the size.

    Kernels for matrices read at least eight channels at a time, and of three would multiply zeros for the most part.
    The trick is that of MLPerf's ResNets, "space to depth" (Ying et al. 2018, https://arxiv.org/abs/1811.06992).
    """
    x = x.contiguous(memory_format=torch.channels_last)
    (n, channels, height, width), size = x.shape, weight.shape[2]
    even = size + size % 2
    rows, columns = ((side + 2 * padding - size) // 2 + even // 2 for side in (height, width))
    wide = torch.empty(n, 16, rows, columns, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    with kernels("window", x) as make:
        make.side_by_side[(-(-n * rows * columns // PIXELS),)](
            x, wide, n * rows * columns, channels, height, width, rows, columns, padding, PIXELS, num_warps=4
        )
    taps = pad(weight, (0, even - size, 0, even - size, 0, 4 - channels))
    taps = taps.view(len(weight), 4, even // 2, 2, even // 2, 2).permute(0, 2, 4, 3, 5, 1)
    taps = taps.reshape(len(weight), even // 2, even // 2, 16).permute(0, 3, 1, 2)  # by row, column and channel too
    found: Tensor = torch.ops.aten.convolution(wide, taps, bias, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    return found
