"""One operation on the simulated device, as torch's dispatcher hands it over below autograd."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, return_and_correct_aliasing

from tests.gpu.simulation import copies
from tests.gpu.simulation.capture import Captures
from tests.gpu.simulation.generators import checked, drawing
from tests.gpu.simulation.log import LOG
from tests.gpu.simulation.rules import CONVOLUTIONS, check, note_convolution
from tests.gpu.simulation.streams import use
from tests.gpu.simulation.tensors import SimulatedTensor, is_device, leaves_of, mapped, plain, simulated_in, tensors_in


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sends all operations to `run`."""

    def __torch_dispatch__(
        self, func: Any, _types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return run(func, args, kwargs or {})


@cache
def _is_composite(func: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


@cache
def _argument_names(func: Any) -> set[str]:
    return {argument.name for argument in func._schema.arguments}


def run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do an operation, if it is one of the simulated device, by its rules; any other as it is."""
    leaves = leaves_of((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    ours = simulated_in(tensors)
    if not ours and not any(map(is_device, leaves)):
        return func(*args, **kwargs)
    if (torch.is_inference_mode_enabled() or any(tensor.is_inference() for tensor in ours)) and _is_composite(func):
        with DispatchMode():  # type: ignore[no-untyped-call]
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
    name = func._schema.name
    LOG.operations[name] += 1
    if name == "aten::_to_copy":
        return copies.to_copy(func, args, kwargs)
    if name == "aten::copy_" and len(ours) == 1:
        return copies.copy_between(func, args, kwargs)
    check(name, args, tensors, ours)
    if name in CONVOLUTIONS:
        note_convolution(name, args)
    kwargs = checked(name, _argument_names(func), leaves, kwargs)
    found = compute(func, args, kwargs)
    if found is None or not ours:
        return found
    return return_and_correct_aliasing(func, args, kwargs, found)  # type: ignore[no-untyped-call]


def compute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of an operation, on the simulated device. A capture records it."""
    written = simulated_in(tensors_in(_written(func, args, kwargs)))
    read = simulated_in(tensors_in(args, kwargs))
    recording = Captures.recording
    if recording is not None:
        recording.keep(written)
    host_args, host_kwargs = mapped(_on_host, (args, kwargs))
    with _disable_current_modes():
        found = drawing(func)(*_in_bounds(func, host_args), **host_kwargs)
    # A view, in inference mode, of a tensor from outside it is no inference tensor.
    usual = torch.is_inference_mode_enabled() and func.is_view and any(not tensor.is_inference() for tensor in read)
    with torch.inference_mode(False) if usual else nullcontext():
        made = mapped(lambda value: SimulatedTensor(value) if isinstance(value, Tensor) else value, found)
    fresh = [] if func.is_view else simulated_in(tensors_in(made))
    use((t.allocation for t in ([] if func.is_view else read)), (t.allocation for t in (*written, *fresh)))
    if recording is not None and not func.is_view:
        args, kwargs = mapped(_device_on_host, (args, kwargs))
        recording.add(drawing(func), args, kwargs, made)
    return made


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that an operation changes."""
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found.append(args[index] if index < len(args) else kwargs.get(argument.name))
    return found


def _device_on_host(value: Any) -> Any:
    return torch.device("cpu") if is_device(value) else value


def _on_host(value: Any) -> Any:
    return _device_on_host(plain(value))


def _in_bounds(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments; while a graph is captured nothing is computed, and no index is out of bounds."""
    if Captures.recording is None or func._schema.name != "aten::index_select":
        return args
    source, dimension, index = args
    return source, dimension, index.clamp(0, source.shape[dimension] - 1)
