"""Copies between host and device: those from or to pinned memory that need not be awaited, and all others."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from tests.gpu.simulation.capture import Captures
from tests.gpu.simulation.log import LOG, place
from tests.gpu.simulation.streams import use, wait
from tests.gpu.simulation.tensors import SimulatedTensor, is_device

# The address and the memory of what is pinned; it is never freed here, for another tensor could get the address.
_PINNED: dict[int, torch.UntypedStorage] = {}


def pin(tensor: Tensor) -> Tensor:
    """Mark the memory of a tensor of the CPU as pinned."""
    storage = tensor.untyped_storage()
    _PINNED[storage.data_ptr()] = storage
    return tensor


def is_pinned(tensor: Tensor) -> bool:
    """Whether a tensor lies in pinned memory."""
    return not isinstance(tensor, SimulatedTensor) and tensor.untyped_storage().data_ptr() in _PINNED


def to_copy(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A copy of a tensor, of another precision or format or on another device."""
    from tests.gpu.simulation.operations import compute

    source, target = args[0], kwargs.get("device")
    rest = {name: value for name, value in kwargs.items() if name not in ("device", "non_blocking", "pin_memory")}
    asynchronous = bool(kwargs.get("non_blocking"))
    to_device = is_device(target) if target is not None else isinstance(source, SimulatedTensor)
    if to_device:
        if not isinstance(source, SimulatedTensor):
            _note("to the device", asynchronous and is_pinned(source), asynchronous)
        return compute(func, args, rest)
    _note("to the host", asynchronous, asynchronous)
    use([source.allocation], [])
    with _disable_current_modes():
        copy: Tensor = func(source.host, **rest)
        copy = copy.clone() if copy is source.host else copy
    return pin(copy) if asynchronous else copy


def copy_between(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Copy the numbers of a tensor on one device into one on the other."""
    from tests.gpu.simulation.operations import compute

    target, source = args[0], args[1]
    asynchronous = bool(kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
    if isinstance(target, SimulatedTensor):
        _note("to the device", asynchronous and is_pinned(source), asynchronous)
        compute(func, args, kwargs)
        return target
    _note("to the host", asynchronous and is_pinned(target), asynchronous)
    if Captures.recording is not None:
        Captures.recording.add(func, args, kwargs, None)
        return target
    use([source.allocation], [])
    with _disable_current_modes():
        target.copy_(source.host)
    return target


def _note(direction: str, pinned: bool, asynchronous: bool) -> None:
    LOG.copies[f"{place()}: {direction}"] += 1
    if not pinned:
        wait(f"copy {direction}{', not pinned' if asynchronous else ''}")
