"""The memory of the simulated device: what is allocated, how much there is, and which stream used it last."""

from collections import Counter
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from tests.gpu.simulation.log import LOG, place, refuse

# Stream -> of each stream the last operation that is sure to be done before the next one of the first begins.
CLOCKS: dict[int, Counter[int]] = {}


class Memory:
    """Counts bytes. limit: what the process may take, or None; total: of the card."""

    def __init__(self) -> None:
        self.live = self.peak = 0
        self.total = 80 * 2**30
        self.limit: int | None = None

    @property
    def free(self) -> int:
        """Bytes that can still be allocated."""
        most = self.total if self.limit is None else min(self.total, self.limit)
        return max(0, most - self.live)

    def take(self, size: int) -> None:
        """Allocate. Raises torch.OutOfMemoryError where not so much is left."""
        if size > self.free:
            error = torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size} bytes. GPU 0 has a total capacity of {self.total}"
                f" bytes of which {self.free} bytes is free."
            )
            refuse(error)
        self.live += size
        self.peak = max(self.peak, self.live)


MEMORY = Memory()


class Allocation:
    """Memory that tensors share; it is freed with the last of them.

    written: the stream that wrote it last, and by which of its operations. home: the stream that it was allocated on.
    used: of each other stream that used it, without those of record_stream, the last operation.
    """

    size = 0

    def __init__(self, size: int) -> None:
        MEMORY.take(size)
        self.size = size
        self.written: tuple[int, int] | None = None
        self.home: int | None = None
        self.used: dict[int, int] = {}
        self.recorded: set[int] = set()

    def __del__(self) -> None:
        MEMORY.live -= self.size
        if self.size and self.home is not None:
            done = CLOCKS[self.home]
            if any(done[stream] < last for stream, last in self.used.items() if stream not in self.recorded):
                LOG.races[f"{place()}: freed while another stream may use it; record_stream is missing"] += 1


_ALLOCATIONS: WeakValueDictionary[int, Allocation] = WeakValueDictionary()


def allocation_of(tensor: Tensor) -> Allocation:
    """The memory of a tensor of the CPU that stands for one of the device."""
    storage = tensor.untyped_storage()
    found = _ALLOCATIONS.get(storage.data_ptr()) if storage.nbytes() else None
    if found is None:
        found = Allocation(storage.nbytes())
        if storage.nbytes():
            _ALLOCATIONS[storage.data_ptr()] = found
    return found
