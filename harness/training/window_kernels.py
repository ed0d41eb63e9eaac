"""Kernels of windows of pixels on CUDA, written in Triton, for maps whose channels lie side by side."""

import triton
import triton.language as tl


@triton.jit
def largest_of_windows(
    x, y, place, pixels, channels, height, width, rows, columns,
    SIZE: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr,  # noqa: N803
    TALL: tl.constexpr, WIDE: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """The largest value of each window, the first of equal ones, and its place in the window.

    pixels: of the result, in all images. rows, columns: of one image of the result.
    """
    these = tl.program_id(0) * TALL + tl.arange(0, TALL)
    lanes = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    inside = (these < pixels)[:, None] & (lanes < channels)[None, :]
    image, top, left = these // (rows * columns), these // columns % rows * STRIDE, these % columns * STRIDE
    best = tl.full([TALL, WIDE], float("-inf"), dtype=tl.float32)
    where = tl.full([TALL, WIDE], SIZE * SIZE, dtype=tl.int32)
    for step in tl.static_range(SIZE * SIZE):
        row, column = top + step // SIZE - PADDING, left + step % SIZE - PADDING
        there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        at = ((image * height + row) * width + column)[:, None] * channels + lanes[None, :]
        value = tl.load(x + at, mask=inside & there[:, None], other=float("-inf")).to(tl.float32)
        # What is no number is the largest, as it is to torch; the first one is kept.
        larger = there[:, None] & ((value > best) | (value != value) & (best == best) | (where == SIZE * SIZE))
        best = tl.where(larger, value, best)
        where = tl.where(larger, step, where)
    at = these[:, None] * channels + lanes[None, :]
    tl.store(y + at, best.to(y.dtype.element_ty), mask=inside)
    tl.store(place + at, where.to(tl.uint8), mask=inside)


@triton.jit
def gradient_of_largest(
    gradient, place, result, pixels, channels, height, width, rows, columns,
    SIZE: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr,  # noqa: N803
    TALL: tl.constexpr, WIDE: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """The gradients of the windows of which a pixel was the largest, added in their order. pixels: of the input.

    Each pixel asks the windows that it is part of. torch's own kernel goes the other way, and takes ten times as long.
    """
    these = tl.program_id(0) * TALL + tl.arange(0, TALL)
    lanes = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    inside = (these < pixels)[:, None] & (lanes < channels)[None, :]
    image, row, column = these // (height * width), these // width % height + PADDING, these % width + PADDING
    total = tl.zeros([TALL, WIDE], dtype=tl.float32)
    BEFORE: tl.constexpr = (SIZE - 1) // STRIDE  # noqa: N806  windows that begin before a pixel's last one, at most
    for back in tl.static_range(BEFORE, -1, -1):
        for left in tl.static_range(BEFORE, -1, -1):
            window_row, window_column = row // STRIDE - back, column // STRIDE - left
            down, right = row - window_row * STRIDE, column - window_column * STRIDE
            there = (window_row >= 0) & (window_row < rows) & (window_column >= 0) & (window_column < columns)
            there = there & (down < SIZE) & (right < SIZE)
            at = ((image * rows + window_row) * columns + window_column)[:, None] * channels + lanes[None, :]
            mask = inside & there[:, None]
            found = tl.load(place + at, mask=mask, other=255).to(tl.int32)
            value = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
            total += tl.where(found == (down * SIZE + right)[:, None], value, 0.0)
    at = these[:, None] * channels + lanes[None, :]
    tl.store(result + at, total.to(result.dtype.element_ty), mask=inside)


@triton.jit
def side_by_side(
    x, result, pixels, channels, height, width, rows, columns,
    PADDING: tl.constexpr, TALL: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Each 2 x 2 pixels of padded images as one of 16 channels: by row, column and channel, of which there are four."""
    these = tl.program_id(0) * TALL + tl.arange(0, TALL)
    lanes = tl.arange(0, 16)
    image, top, left = these // (rows * columns), these // columns % rows * 2, these % columns * 2
    row = (top - PADDING)[:, None] + (lanes // 8)[None, :]
    column = (left - PADDING)[:, None] + (lanes // 4 % 2)[None, :]
    channel = (lanes % 4)[None, :]
    inside = (these < pixels)[:, None] & (lanes < 16)[None, :]
    there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width) & (channel < channels)
    value = tl.load(x + ((image[:, None] * height + row) * width + column) * channels + channel, mask=there, other=0.0)
    tl.store(result + these[:, None] * 16 + lanes[None, :], value, mask=inside)
