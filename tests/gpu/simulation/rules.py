"""What CUDA does otherwise than a CPU: which operations wait, alert or fill, and what may be on which device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.gpu.simulation.log import LOG, DeviceError, place, refuse
from tests.gpu.simulation.streams import wait
from tests.gpu.simulation.tensors import SimulatedTensor, tensors_in

# Those of the docs of torch.use_deterministic_algorithms that have no deterministic kernel on CUDA.
ALERTS = {
    f"aten::{name}"
    for name in (
        "_adaptive_avg_pool2d_backward", "_embedding_bag", "adaptive_max_pool2d_backward", "avg_pool3d_backward",
        "bincount", "cumsum", "fractional_max_pool2d_backward", "grid_sampler_2d_backward", "histc", "kthvalue",
        "max_pool3d_with_indices_backward", "max_unpool2d", "median", "nll_loss2d_backward", "nll_loss2d_forward",
        "put_", "reflection_pad2d_backward", "replication_pad2d_backward", "resize_", "scatter_reduce",
        "upsample_bicubic2d_backward", "upsample_bilinear2d_backward", "upsample_linear1d_backward",
        "upsample_nearest2d_backward",
    )
}  # fmt: skip
WAITS = {
    f"aten::{name}"
    for name in (
        "_local_scalar_dense", "_unique", "_unique2", "bincount", "equal", "is_nonzero", "item", "masked_select",
        "nonzero", "repeat_interleave",
    )
}  # fmt: skip
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
CREATES = {"aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided"}
CONVOLUTIONS = {"aten::convolution", "aten::convolution_backward"}

Refusal = Callable[[str, list[SimulatedTensor]], None]
REFUSALS: list[Refusal] = []  # what a test makes the device refuse: each may raise, by the operation and its tensors


def check(name: str, args: tuple[Any, ...], tensors: list[Tensor], ours: list[SimulatedTensor]) -> None:
    """Hold an operation against the rules. Raises where CUDA would."""
    for refusal in REFUSALS:
        try:
            refusal(name, ours)
        except Exception as error:
            refuse(error)
    _check_devices(name, args, tensors, ours)
    if name in WAITS:
        wait(name)
    if not torch.are_deterministic_algorithms_enabled():
        return
    if name in ALERTS:
        LOG.alerts[f"{name} at {place()}"] += 1
    if name in CREATES and torch.utils.deterministic.fill_uninitialized_memory:  # type: ignore[attr-defined]
        LOG.fills[place()] += 1


def _check_devices(name: str, args: tuple[Any, ...], tensors: list[Tensor], ours: list[SimulatedTensor]) -> None:
    strangers = [tensor for tensor in tensors if not isinstance(tensor, SimulatedTensor) and tensor.dim()]
    if name in INDEXING and isinstance(args[0], SimulatedTensor):
        indices = tensors_in(args[1])
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            wait("index of booleans")
        if any(not isinstance(index, SimulatedTensor) for index in indices):
            wait("index of the CPU")
        strangers = [tensor for tensor in strangers if all(tensor is not index for index in indices)]
    if ours and strangers:
        raise DeviceError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
            f" ({name} at {place()}; {[tuple(tensor.shape) for tensor in strangers]})"
        )


def note_convolution(name: str, args: tuple[Any, ...]) -> None:
    """Note the memory format and the precision of a convolution."""
    images = args[1 if name.endswith("backward") else 0]
    last = images.dim() == 4 and images.host.is_contiguous(memory_format=torch.channels_last)
    kind = str(images.dtype).removeprefix("torch.")
    if images.dtype == torch.float32 and torch.backends.cudnn.allow_tf32:
        kind = "tf32"
    LOG.convolutions[f"{'channels-last' if last else 'not channels-last'} {kind}"] += 1
