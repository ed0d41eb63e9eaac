"""Kernels of batch norm on CUDA, written in Triton. Maps are read as matrices [rows, channels], rows being pixels.

Each sum is that of slabs of rows, then that of the slabs, in a fixed order: the same numbers give the same bits.
EARLY: the programs of a kernel may start before the kernel in front has ended, and wait for it themselves.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def moments_of_slabs(
    x, sums, squares, rows, channels, slab,
    TALL: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr = False,  # noqa: N803
):  # fmt: skip
    """The sums of each channel and of its squares in a slab of rows, the value in the first row taken off before.

    Sums of squares far from zero would lose their digits.
    """
    columns = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    first = tl.program_id(1) * slab
    last = tl.minimum(first + slab, rows)
    _wait(EARLY)
    origin = tl.load(x + columns, mask=inside, other=0.0).to(tl.float32)[None, :]
    total = tl.zeros([TALL, WIDE], dtype=tl.float32)
    square = tl.zeros([TALL, WIDE], dtype=tl.float32)
    for start in range(first, last, TALL):
        these = start + tl.arange(0, TALL)
        mask = (these < last)[:, None] & inside[None, :]
        value = tl.load(x + these[:, None] * channels + columns[None, :], mask=mask, other=0.0).to(tl.float32)
        value = tl.where(mask, value - origin, 0.0)
        total += value
        square += value * value
    at = tl.program_id(1) * channels + columns
    tl.store(sums + at, tl.sum(total, axis=0), mask=inside)
    tl.store(squares + at, tl.sum(square, axis=0), mask=inside)


@triton.jit
def merge_moments(
    x, sums, squares, mean_of_all, scale_of_all, running_mean, running_variance, rows, channels, slabs, eps, momentum,
    MANY: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr = False,  # noqa: N803
):  # fmt: skip
    """The mean and 1 / standard deviation of each channel from the sums of its slabs; moves the running statistics."""
    columns = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    _wait(EARLY)
    origin = tl.load(x + columns, mask=inside, other=0.0).to(tl.float32)
    old_mean = tl.load(running_mean + columns, mask=inside, other=0.0)
    old_variance = tl.load(running_variance + columns, mask=inside, other=0.0)
    away, square = _over_slabs(sums, squares, columns, inside, channels, slabs, MANY, WIDE)
    away = away / rows
    square = square - rows * away * away
    square = tl.where(square > 0, square, tl.where(square != square, square, 0.0))  # what is no number stays none
    mean = origin + away
    tl.store(mean_of_all + columns, mean, mask=inside)
    tl.store(scale_of_all + columns, 1.0 / tl.sqrt(square / rows + eps), mask=inside)
    tl.store(running_mean + columns, old_mean + momentum * (mean - old_mean), mask=inside)
    moved = old_variance + momentum * (square / (rows - 1) - old_variance)
    tl.store(running_variance + columns, moved, mask=inside)


@triton.jit
def normalise(
    x, y, added, signs, mean, scale, weight, bias, rows, channels,
    ADDED: tl.constexpr, RELU: tl.constexpr, SIGNS: tl.constexpr,  # noqa: N803
    TALL: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr = False,  # noqa: N803
):  # fmt: skip
    """The normalised map, with another one added and its negative values cut off where that is asked for.

    SIGNS: which values are above zero is written too, as bits.
    """
    columns = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    these = tl.program_id(0) * TALL + tl.arange(0, TALL)
    inside = columns < channels
    mask = (these < rows)[:, None] & inside[None, :]
    at = these[:, None] * channels + columns[None, :]
    _wait(EARLY)
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    centre, slope, offset = _line(mean, scale, weight, bias, columns, inside)
    value = (value - centre) * slope + offset
    if ADDED:
        value += tl.load(added + at, mask=mask, other=0.0).to(tl.float32)
    if RELU:
        value = tl.where(value > 0, value, tl.where(value != value, value, 0.0))
    result = value.to(y.dtype.element_ty)
    tl.store(y + at, result, mask=mask)
    if SIGNS:
        bits = tl.reshape((result > 0).to(tl.int32), [TALL, WIDE // 8, 8]) << tl.arange(0, 8)[None, None, :]
        byte, there = _bytes(these, tl.program_id(1), rows, channels, WIDE)
        tl.store(signs + byte, tl.sum(bits, axis=2).to(tl.uint8), mask=there)


@triton.jit
def gradients_of_slabs(
    x, signs, gradient, other, passed, mean, scale, weight, bias, sums, products, rows, channels, slab,
    PASSED: tl.constexpr, OTHER: tl.constexpr, SIGNS: tl.constexpr, RELU: tl.constexpr,  # noqa: N803
    TALL: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr = False,  # noqa: N803
):  # fmt: skip
    """The sum of the gradient, and of its products with the normalised map, of each channel in a slab of rows.

    The gradient is that of the result before its negative values were cut off, to which that of a second reader is
    added: it is `passed` on.
    """
    columns = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    first = tl.program_id(1) * slab
    last = tl.minimum(first + slab, rows)
    _wait(EARLY)
    centre, slope, offset = _line(mean, scale, weight, bias, columns, inside)
    total = tl.zeros([TALL, WIDE], dtype=tl.float32)
    product = tl.zeros([TALL, WIDE], dtype=tl.float32)
    for start in range(first, last, TALL):
        these = start + tl.arange(0, TALL)
        mask = (these < last)[:, None] & inside[None, :]
        at = these[:, None] * channels + columns[None, :]
        away = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - centre
        value = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
        if OTHER:
            value += tl.load(other + at, mask=mask, other=0.0).to(tl.float32)
        if RELU:
            if SIGNS:
                byte, there = _bytes(these, tl.program_id(0), last, channels, WIDE)
                bits = tl.load(signs + byte, mask=there, other=0).to(tl.int32)
                above = tl.reshape((bits[:, :, None] >> tl.arange(0, 8)[None, None, :]) & 1, [TALL, WIDE]) != 0
            else:  # computed again, which is faster than to read it
                above = away * slope + offset > 0
            value = tl.where(above, value, 0.0)
        if PASSED:
            tl.store(passed + at, value.to(passed.dtype.element_ty), mask=mask)
        total += value
        product += value * away
    at = tl.program_id(1) * channels + columns
    tl.store(sums + at, tl.sum(total, axis=0), mask=inside)
    factor = tl.load(scale + columns, mask=inside, other=0.0)
    tl.store(products + at, tl.sum(product, axis=0) * factor, mask=inside)


@triton.jit
def merge_gradients(
    sums, products, of_bias, of_weight, channels, slabs,
    MANY: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr = False,  # noqa: N803
):  # fmt: skip
    """The gradients of the bias and of the weight of each channel: the sums over its slabs."""
    columns = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    inside = columns < channels
    _wait(EARLY)
    total, product = _over_slabs(sums, products, columns, inside, channels, slabs, MANY, WIDE)
    tl.store(of_bias + columns, total, mask=inside)
    tl.store(of_weight + columns, product, mask=inside)


@triton.jit
def gradient_of_input(
    x, gradient, result, mean, scale, weight, bias, of_bias, of_weight, rows, channels,
    RELU: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr = False,  # noqa: N803
):  # fmt: skip
    """The gradient of the map before its normalisation."""
    columns = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    these = tl.program_id(0) * TALL + tl.arange(0, TALL)
    inside = columns < channels
    mask = (these < rows)[:, None] & inside[None, :]
    at = these[:, None] * channels + columns[None, :]
    _wait(EARLY)
    centre, slope, offset = _line(mean, scale, weight, bias, columns, inside)
    away = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - centre
    value = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    if RELU:
        value = tl.where(away * slope + offset > 0, value, 0.0)
    total = tl.load(of_bias + columns, mask=inside, other=0.0) / rows
    factor = tl.load(scale + columns, mask=inside, other=0.0)
    along = tl.load(of_weight + columns, mask=inside, other=0.0) / rows * factor
    value = (value - total[None, :] - away * along[None, :]) * slope
    tl.store(result + at, value.to(result.dtype.element_ty), mask=mask)


@triton.jit
def _wait(EARLY: tl.constexpr):  # noqa: N803
    """Wait for the kernel in front, and let the next one start. Nothing is read or written before."""
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()


@triton.jit
def _line(mean, scale, weight, bias, columns, inside):
    """The numbers of each channel with which (x - the first) * the second + the third is normalised."""
    slope = tl.load(scale + columns, mask=inside, other=0.0) * tl.load(weight + columns, mask=inside, other=0.0)
    centre = tl.load(mean + columns, mask=inside, other=0.0)
    return centre[None, :], slope[None, :], tl.load(bias + columns, mask=inside, other=0.0)[None, :]


@triton.jit
def _bytes(these, block, rows, channels, WIDE: tl.constexpr):  # noqa: N803
    """The places of the signs of these rows, eight channels a byte, and whether they are there."""
    lanes = block * (WIDE // 8) + tl.arange(0, WIDE // 8)
    pitch = (channels + 7) // 8
    return these[:, None] * pitch + lanes[None, :], (these < rows)[:, None] & (lanes < pitch)[None, :]


@triton.jit
def _over_slabs(
    values, others, columns, inside, channels, slabs, MANY: tl.constexpr, WIDE: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """The sums of each channel over its slabs, of two values. Both are read before either is waited for."""
    total = tl.zeros([MANY, WIDE], dtype=tl.float32)
    other = tl.zeros([MANY, WIDE], dtype=tl.float32)
    for start in range(0, slabs, MANY):
        these = start + tl.arange(0, MANY)
        mask = (these < slabs)[:, None] & inside[None, :]
        at = these[:, None] * channels + columns[None, :]
        total += tl.load(values + at, mask=mask, other=0.0)
        other += tl.load(others + at, mask=mask, other=0.0)
    return tl.sum(total, axis=0), tl.sum(other, axis=0)
