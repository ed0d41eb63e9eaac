"""The functions of torch that name a device: `cuda` becomes the simulated one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from tests.gpu.simulation.copies import is_pinned, pin
from tests.gpu.simulation.log import DeviceError, gradients
from tests.gpu.simulation.tensors import BACKEND, SimulatedTensor

GRADIENTS = (torch.Tensor.backward, torch.autograd.backward, torch.autograd.grad)
FROM_VALUES = (torch.tensor, torch.as_tensor, torch.asarray)


class FunctionMode(TorchFunctionMode):
    """Sends the functions that name a device to the simulated one."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.device:
            return func(*args, **kwargs)
        if func in GRADIENTS:
            with gradients():
                return func(*args, **kwargs)
        if func in _METHODS:
            return _METHODS[func](*args, **kwargs)
        if func is torch.Tensor.to or "device" in kwargs:
            args, kwargs = tuple(map(_named, args)), kwargs | {"device": _named(kwargs.get("device"))}
            kwargs = {name: value for name, value in kwargs.items() if name != "device" or value is not None}
        args = tuple(map(_simulated, args))
        kwargs = {name: _simulated(value) for name, value in kwargs.items()}
        if func in FROM_VALUES and getattr(kwargs.get("device"), "type", None) == BACKEND:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        pinned = bool(kwargs.pop("pin_memory", False))
        return pin(func(*args, **kwargs)) if pinned else func(*args, **kwargs)


def _named(value: Any) -> Any:
    """A device for its name."""
    return torch.device(value) if isinstance(value, str) and value.startswith("cuda") else value


def _simulated(value: Any) -> Any:
    if not isinstance(value, torch.device) or value.type != "cuda":
        return value
    if value.index not in (None, 0):
        raise DeviceError("CUDA error: invalid device ordinal")
    return torch.device(BACKEND, 0)


def _pin_memory(tensor: torch.Tensor, _device: Any = None) -> torch.Tensor:
    if isinstance(tensor, SimulatedTensor):
        raise DeviceError("cannot pin a CUDA tensor: only dense CPU tensors can be pinned")
    return pin(tensor.clone())


def _to_cuda(tensor: torch.Tensor, device: Any = None, non_blocking: bool = False, **_: Any) -> torch.Tensor:
    return tensor.to(_simulated(_named("cuda" if device is None else device)), non_blocking=non_blocking)


_METHODS: dict[Any, Callable[..., Any]] = {
    torch.Tensor.pin_memory: _pin_memory,
    torch.Tensor.is_pinned: lambda tensor, _device=None: is_pinned(tensor),
    torch.Tensor.cuda: _to_cuda,
}
