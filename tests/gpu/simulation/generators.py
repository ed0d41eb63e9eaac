"""Generators of random numbers on the simulated device: those of the CPU under another name."""

from typing import Any
from weakref import WeakValueDictionary

import torch

from tests.gpu.simulation.log import HOST, CaptureError, DeviceError, place
from tests.gpu.simulation.tensors import CUDA

RANDOM = {
    f"aten::{name}"
    for name in (
        "bernoulli", "bernoulli_", "exponential_", "multinomial", "native_dropout", "normal", "normal_", "rand",
        "rand_like", "randint", "randint_like", "randn", "randn_like", "random_", "randperm", "uniform_",
    )
}  # fmt: skip
HostGenerator = torch.Generator
_OURS: WeakValueDictionary[int, torch.Generator] = WeakValueDictionary()  # by their address in C++


def address(generator: Any) -> int:
    """The address of a generator in C++: torch hands it on as another object of Python."""
    return int(generator._cdata)


class SimulatedGenerator(HostGenerator):
    """torch.Generator, which may be of the simulated device."""

    def __new__(cls, _device: Any = "cpu") -> "SimulatedGenerator":
        return HostGenerator.__new__(cls, "cpu")  # type: ignore[call-arg]

    def __init__(self, device: Any = "cpu") -> None:
        self._on_device = torch.device(device).type == "cuda"
        if self._on_device:
            _OURS[address(self)] = self

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA if self._on_device else torch.device("cpu")


DEFAULT = SimulatedGenerator("cuda")
REGISTERED: set[int] = set()  # the addresses of the generators of the graph that is being captured


def checked(name: str, arguments: set[str], leaves: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operation with a generator of the device. Raises where it has another."""
    given = [leaf for leaf in leaves if isinstance(leaf, HostGenerator)]
    if name not in RANDOM:
        assert not given, f"{name} takes a generator, and RANDOM does not have it"
        return kwargs
    for generator in given:
        if address(generator) not in _OURS:
            raise DeviceError("Expected a 'cuda' device type for generator but found 'cpu'")
        if HOST.capturing and address(generator) not in REGISTERED:
            raise CaptureError(f"a generator that is not registered with the graph is used at {place()}")
    return kwargs if given or "generator" not in arguments else kwargs | {"generator": DEFAULT}


def drawing(func: Any) -> Any:
    """The operation, with the numbers of the device's default generator where it takes none, such as dropout."""
    if func._schema.name not in RANDOM or any(argument.name == "generator" for argument in func._schema.arguments):
        return func

    def drawn(*args: Any, **kwargs: Any) -> Any:
        host = torch.default_generator
        own = host.get_state()
        host.set_state(DEFAULT.get_state())
        try:
            return func(*args, **kwargs)
        finally:
            DEFAULT.set_state(host.get_state())
            host.set_state(own)

    return drawn


def states_of(registered: list[Any]) -> list[tuple[Any, torch.Tensor]]:
    """The states of the default generator and of others."""
    return [(generator, generator.get_state()) for generator in (DEFAULT, *registered)]
