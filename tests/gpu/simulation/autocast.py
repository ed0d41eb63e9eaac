"""The rules of CUDA's autocast (ATen/autocast_mode.h) for the operations that image networks use."""

from typing import Any

import torch
from torch import Tensor

from tests.gpu.simulation.log import LOG
from tests.gpu.simulation.tensors import BACKEND, SimulatedTensor, mapped

LOWER = (
    "conv1d", "conv2d", "conv3d", "conv_transpose2d.input", "convolution", "_convolution", "linear", "matmul", "mm",
    "mv", "bmm", "addmm", "addmv", "baddbmm", "addbmm", "einsum", "prelu", "scaled_dot_product_attention",
)  # fmt: skip
FP32 = (
    "binary_cross_entropy_with_logits", "cdist", "cross_entropy_loss", "cumsum", "exp", "group_norm", "layer_norm",
    "log", "log_softmax.int", "mse_loss", "nll_loss", "nll_loss_nd", "norm.Scalar", "pow.Tensor_Scalar", "prod",
    "rsqrt", "softmax.int", "softplus", "sum", "sum.dim_IntList",
)  # fmt: skip
_KEY = "AutocastPrivateUse1"
_libraries: list[Any] = []  # a rule is gone when its library is
_cache: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor]] = {}  # parameter and precision -> parameter and its cast

Autocast = torch.amp.autocast_mode.autocast


class SimulatedAutocast(Autocast):
    """torch.autocast, where `cuda` is the simulated device."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(BACKEND if device_type == "cuda" else device_type, *args, **kwargs)

    def __exit__(self, *ended: Any) -> Any:
        found = super().__exit__(*ended)
        if not torch.is_autocast_enabled(BACKEND):
            _cache.clear()
        return found


def register() -> None:
    """Make torch follow the rules on the simulated device."""
    library: Any = torch.library.Library
    rules, rest = library("aten", "IMPL"), library("_", "IMPL", _KEY)
    rest.fallback(torch.library.fallthrough_kernel)
    _libraries.extend((rules, rest))
    for names, lower in ((LOWER, True), (FP32, False)):
        for name in names:
            _add_rule(rules, name, lower)


def _add_rule(library: Any, name: str, lower: bool) -> None:
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")

    def kernel(*args: Any, **kwargs: Any) -> Any:
        precision = torch.get_autocast_dtype(BACKEND) if lower else torch.float32

        def cast(value: Any) -> Any:
            return _cast(value, precision)

        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, _KEY))):
            return operation(*mapped(cast, args), **mapped(cast, kwargs))

    library.impl(operation.name().removeprefix("aten::"), kernel, _KEY)


def _cast(value: Any, precision: torch.dtype) -> Any:
    """A tensor in this precision; the cast of a parameter is kept until the outermost autocast ends."""
    if not isinstance(value, SimulatedTensor) or not value.is_floating_point() or value.dtype == torch.float64:
        return value
    if value.dtype == precision:
        return value
    parameter = value.requires_grad and value.is_leaf and value.dtype == torch.float32 and precision != torch.float32
    key = id(value), precision
    if parameter and torch.is_autocast_cache_enabled() and key in _cache:
        return _cache[key][1]
    LOG.casts[f"{'parameter' if parameter else 'value'} to {str(precision).removeprefix('torch.')}"] += 1
    found = value.to(precision)
    if parameter and torch.is_autocast_cache_enabled():
        _cache[key] = value, found
    return found
