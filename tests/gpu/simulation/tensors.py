"""The tensor of the simulated device: it says cuda:0, and has its numbers in a tensor of the CPU."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from tests.gpu.simulation.memory import allocation_of
from tests.gpu.simulation.streams import Stream, wait

BACKEND = "simulated"  # torch's name of the device below: its engine for gradients wants a backend
CUDA = torch.device("cuda:0")
NUMPY_ERROR = (
    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
)


class SimulatedTensor(Tensor):
    """A tensor on the simulated device. host: the tensor of the CPU that has its numbers."""

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> "SimulatedTensor":
        assert not isinstance(host, SimulatedTensor)
        made: SimulatedTensor = torch.Tensor._make_wrapper_subclass(
            cls, host.shape, strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype,
            layout=host.layout, device=torch.device(BACKEND, 0),
        )  # fmt: skip
        return made

    def __init__(self, host: Tensor) -> None:
        self.host = host
        self.allocation = allocation_of(host)

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, _types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        from tests.gpu.simulation.operations import run

        return run(func, args, kwargs or {})

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    def get_device(self) -> int:
        return 0

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Simulated({self.host!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copy: Any = self.detach().clone().requires_grad_(self.requires_grad)
        copy._is_param = getattr(self, "_is_param", False)
        memo[id(self)] = copy
        return copy  # type: ignore[no-any-return]

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError(NUMPY_ERROR)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(NUMPY_ERROR)

    def record_stream(self, stream: Stream) -> None:  # type: ignore[override]
        self.allocation.recorded.add(stream.number)

    def tolist(self) -> Any:
        wait("tolist")
        return self.host.tolist()


def plain(value: Any) -> Any:
    """The tensor of the CPU behind a simulated one; anything else as it is."""
    return value.host if isinstance(value, SimulatedTensor) else value


def is_device(value: Any) -> bool:
    """Whether a value names the simulated device."""
    return isinstance(value, torch.device) and value.type in (BACKEND, "cuda")


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """The value with all that is in its lists, tuples and dicts changed; torch's tree_map takes most of the time."""
    if isinstance(value, list | tuple):
        changed = [mapped(change, each) for each in value]
        return changed if isinstance(value, list) else tuple(changed)
    if isinstance(value, dict):
        return {name: mapped(change, each) for name, each in value.items()}
    return change(value)


def leaves_of(value: Any) -> list[Any]:
    """All that is in the lists, tuples and dicts of a value."""
    found: list[Any] = []
    mapped(found.append, value)
    return found


def tensors_in(*values: Any) -> list[Tensor]:
    """All tensors in the values."""
    return [leaf for leaf in leaves_of(values) if isinstance(leaf, Tensor)]


def simulated_in(values: Iterable[Tensor]) -> list[SimulatedTensor]:
    """Those of the tensors that are on the simulated device."""
    return [value for value in values if isinstance(value, SimulatedTensor)]
