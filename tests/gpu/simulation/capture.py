"""Graphs: what is captured does not happen, and is repeated by each replay on the same memory."""

from collections.abc import Callable
from types import TracebackType
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from tests.gpu.simulation.generators import REGISTERED, address, states_of
from tests.gpu.simulation.log import HOST, LOG, CaptureError, DeviceError, place
from tests.gpu.simulation.memory import Allocation
from tests.gpu.simulation.streams import STREAMS, Stream, use, wait_for_all
from tests.gpu.simulation.tensors import SimulatedTensor, mapped, plain, simulated_in, tensors_in

Operation = Callable[..., Any]


class Recording:
    """The operations of a graph. It has the memory that they make, and only uses the memory that was there before."""

    def __init__(self) -> None:
        self._calls: list[tuple[Operation, Any, Any, list[Tensor]]] = []
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}  # what was there, and a copy
        self._made: set[int] = set()  # addresses
        self._own: list[SimulatedTensor] = []
        self._borrowed: dict[int, tuple[ReferenceType[Allocation], str]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def keep(self, tensors: list[SimulatedTensor]) -> None:
        """Copy the memory that an operation is about to change, if it was there before the capture."""
        for tensor in tensors:
            storage = tensor.host.untyped_storage()
            if storage.data_ptr() not in self._made:
                self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))  # type: ignore[no-untyped-call]

    def add(self, func: Operation, args: Any, kwargs: Any, found: Any) -> None:
        """Add an operation that gave these tensors."""
        given = tensors_in(args, kwargs)
        for tensor in simulated_in(given):
            if _address(tensor.host) not in self._made:
                self._borrowed.setdefault(id(tensor.allocation), (ref(tensor.allocation), place()))
        addresses = {_address(plain(tensor)) for tensor in given}
        made = [tensor for tensor in simulated_in(tensors_in(found)) if _address(tensor.host) not in addresses]
        self._made |= {_address(tensor.host) for tensor in made}
        self._own += made
        args, kwargs = mapped(plain, (args, kwargs))
        self._calls.append((func, args, kwargs, [tensor.host for tensor in made]))

    def undo(self) -> None:
        """Put back what was there before, and make nonsense of the rest, for nothing has been computed."""
        for storage, copy in self._before.values():
            storage.copy_(copy, non_blocking=False)
        with torch.inference_mode(), _disable_current_modes():
            for tensor in self._own:
                if tensor.host.is_floating_point():
                    tensor.host.fill_(float("nan"))

    def replay(self) -> None:
        """Do the operations. Raises where memory that they use has been freed."""
        borrowed = [(found(), where) for found, where in self._borrowed.values()]
        for allocation, where in borrowed:
            if allocation is None:
                raise DeviceError(f"CUDA error: illegal memory access: what was captured at {where} uses freed memory")
        alive = [allocation for allocation, _ in borrowed if allocation is not None]
        own = [tensor.allocation for tensor in self._own]
        use([], [*alive, *own])
        with torch.inference_mode(), _disable_current_modes():
            for func, args, kwargs, made in self._calls:
                found = tensors_in(func(*args, **kwargs))
                for old, new in zip(made, found if made else [], strict=bool(made)):
                    old.copy_(new)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class CUDAGraph:
    """torch.cuda.CUDAGraph."""

    def __init__(self, keep_graph: bool = False) -> None:
        del keep_graph
        self.recording: Recording | None = None
        self.generators: list[Any] = []

    def register_generator_state(self, generator: Any) -> None:
        """Let the graph draw from a generator."""
        self.generators.append(generator)

    def replay(self) -> None:
        """Do what was captured."""
        assert self.recording is not None, "no graph has been captured"
        LOG.replays += 1
        self.recording.replay()

    def reset(self) -> None:
        """Forget the graph."""
        self.recording = None

    def pool(self) -> tuple[int, int]:
        """The name of its memory."""
        return (0, id(self))


class Captures:
    """The recording of the graph that is being captured, if any."""

    recording: Recording | None = None


class graph:  # noqa: N801  torch's name
    """torch.cuda.graph: capture what is done inside."""

    def __init__(self, cuda_graph: CUDAGraph, pool: object = None, stream: Stream | None = None, **_: object) -> None:
        del pool
        self._graph, self._stream = cuda_graph, stream or Stream()

    def __enter__(self) -> None:
        if HOST.capturing:
            raise CaptureError("a graph is captured while another is")
        wait_for_all("torch.cuda.graph")
        REGISTERED.update(map(address, self._graph.generators))
        self._states = states_of(self._graph.generators)
        self._stream.__enter__()
        Captures.recording, HOST.capturing = Recording(), True

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        recording, Captures.recording, HOST.capturing = Captures.recording, None, False
        assert recording is not None
        self._stream.__exit__(kind, error, trace)
        STREAMS.current.wait_stream(self._stream)
        REGISTERED.clear()
        recording.undo()
        for generator, state in self._states:
            generator.set_state(state)
        if isinstance(error, CaptureError):  # as capture_end does, which hides the reason as the context
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self._graph.recording = recording
        LOG.captures.append(len(recording))


def is_capturing() -> bool:
    """torch.cuda.is_current_stream_capturing."""
    return HOST.capturing
