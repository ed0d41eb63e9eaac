"""`install`: from then on torch.cuda is the simulated device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils import backend_registration

from tests.gpu.simulation import autocast, rules
from tests.gpu.simulation.capture import CUDAGraph, graph, is_capturing
from tests.gpu.simulation.functions import FunctionMode
from tests.gpu.simulation.generators import DEFAULT, SimulatedGenerator
from tests.gpu.simulation.log import HOST, DeviceError
from tests.gpu.simulation.memory import MEMORY
from tests.gpu.simulation.operations import DispatchMode
from tests.gpu.simulation.streams import STREAMS, Event, Stream, wait_for_all
from tests.gpu.simulation.tensors import BACKEND, SimulatedTensor

_modes: list[Any] = []  # those of this thread


@dataclass(frozen=True)
class Card:
    """What the device says of itself. total: bytes of memory."""

    name: str = "NVIDIA H100 80GB HBM3 (simulated)"
    capability: tuple[int, int] = (9, 0)
    total: int = 80 * 2**30


def install(card: Card | None = None) -> None:
    """Put a simulated device into this process, for good, and for this thread."""
    assert not _modes, "there is a simulated device already"
    card = card or Card()
    MEMORY.total = card.total
    backend_registration._setup_privateuseone_for_python_backend(BACKEND, backend_module=_Backend())
    autocast.register()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    names = about(card) | _SYNCHRONISATION | _MEMORY | _RANDOM
    for name, value in names.items():
        setattr(torch.cuda, name, value)
    torch.Generator = SimulatedGenerator  # type: ignore[misc]
    torch.autocast = torch.amp.autocast = autocast.SimulatedAutocast  # type: ignore[misc]
    torch.amp.autocast_mode.autocast = autocast.SimulatedAutocast  # type: ignore[misc]
    for query in ("is_autocast_enabled", "get_autocast_dtype"):
        setattr(torch, query, _translated(getattr(torch, query)))
    if card.capability < (8, 0):
        rules.REFUSALS.append(no_bf16)
    # Gradients in this thread: an error of Python in one of autograd ends the process, and has no place in harness/
    torch.autograd.set_multithreading_enabled(False)
    for mode in (DispatchMode(), FunctionMode()):  # type: ignore[no-untyped-call]
        mode.__enter__()  # type: ignore[no-untyped-call]
        _modes.append(mode)
    _without_kernels()


def _without_kernels() -> None:
    """Let torch compute what the harness's own kernels would: nothing compiles them for this device."""
    from harness.training import fused_norm, side_conv

    for module in (fused_norm, side_conv):
        setattr(module, "runs_kernels", lambda _: False)  # noqa: B010


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def manual_seed_all(self, seed: int) -> None:
        DEFAULT.manual_seed(seed)


def about(card: Card) -> dict[str, Any]:
    """The functions of torch.cuda that say what there is."""
    major, minor = card.capability
    properties = SimpleNamespace(
        name=card.name, major=major, minor=minor, total_memory=card.total, multi_processor_count=132, uuid="simulated"
    )
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "_lazy_init": lambda: None,
        "_is_in_bad_fork": lambda: False,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": _device_number,
        "get_device_name": lambda device=None: (_device_number(device), card.name)[1],
        "get_device_capability": lambda device=None: (_device_number(device), card.capability)[1],
        "get_device_properties": lambda device=None: (_device_number(device), properties)[1],
        "is_bf16_supported": lambda including_emulation=True: major >= 8 or including_emulation,
    }


def _device_number(device: Any) -> int:
    """Raise RuntimeError where a device is named that is not there."""
    number = getattr(torch.device(device), "index", None) if isinstance(device, str | torch.device) else device
    if number not in (None, 0):
        raise DeviceError("CUDA error: invalid device ordinal")
    return 0


@contextmanager
def _on_device(device: Any) -> Iterator[None]:
    _device_number(device)
    yield


def _set_debug(mode: int | str) -> None:
    HOST.debug = {"default": 0, "warn": 1, "error": 2}[mode] if isinstance(mode, str) else mode


def _set_fraction(share: float, _device: Any = None) -> None:
    MEMORY.limit = round(share * MEMORY.total)


def _reset_peak(_device: Any = None) -> None:
    MEMORY.peak = MEMORY.live


def _translated(query: Any) -> Any:
    """A question about autocast, where `cuda` is the simulated device."""
    return lambda *kind: query(*(BACKEND if each == "cuda" else each for each in kind))


def no_bf16(name: str, ours: list[SimulatedTensor]) -> None:
    """Refuse convolutions in bf16, as cuDNN does on cards before Ampere."""
    if name in rules.CONVOLUTIONS and any(tensor.dtype == torch.bfloat16 for tensor in ours):
        raise DeviceError("GET was unable to find an engine to execute this computation")


def _set_state(state: torch.Tensor, _device: Any = "cuda") -> None:
    DEFAULT.set_state(state)


_SYNCHRONISATION: dict[str, Any] = {
    "synchronize": lambda _device=None: wait_for_all("torch.cuda.synchronize"),
    "Stream": Stream,
    "Event": Event,
    "stream": lambda stream: stream,
    "current_stream": lambda _device=None: STREAMS.current,
    "default_stream": lambda _device=None: STREAMS.default,
    "device": _on_device,
    "graph": graph,
    "CUDAGraph": CUDAGraph,
    "graph_pool_handle": lambda: (0, 0),
    "is_current_stream_capturing": is_capturing,
    "get_sync_debug_mode": lambda: HOST.debug,
    "set_sync_debug_mode": _set_debug,
}
_MEMORY: dict[str, Any] = {
    "mem_get_info": lambda _device=None: (MEMORY.free, MEMORY.total),
    "memory_allocated": lambda _device=None: MEMORY.live,
    "memory_reserved": lambda _device=None: MEMORY.live,
    "max_memory_allocated": lambda _device=None: MEMORY.peak,
    "reset_peak_memory_stats": _reset_peak,
    "set_per_process_memory_fraction": _set_fraction,
    "empty_cache": lambda: None,
}
_RANDOM: dict[str, Any] = {
    "default_generators": (DEFAULT,),
    "manual_seed": DEFAULT.manual_seed,
    "manual_seed_all": DEFAULT.manual_seed,
    "get_rng_state": lambda _device="cuda": DEFAULT.get_state(),
    "set_rng_state": _set_state,
}
