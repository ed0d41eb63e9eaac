"""The device and the arithmetic of a fit."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from harness.errors import HarnessError
from harness.training.nvidia import shown_gpus

T = TypeVar("T")
CORES = torch.get_num_threads()  # that torch would use: those of the machine, or OMP_NUM_THREADS
BYTES_PER_CPU_FIT = 3 * 2**29  # 1.5 GiB
OUT_OF_MEMORY = ("unable to find an engine", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the first of cuda, mps and cpu that this machine has.

    Raises HarnessError where it has no such device, and for `auto` where torch cannot use the GPU that is there.
    """
    gpus = ["cuda", *(f"cuda:{index}" for index in range(_gpu_count()))] if torch.cuda.is_available() else []
    there = [*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if name == "auto":
        if not gpus and (shown := shown_gpus()):
            made = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
            raise HarnessError(
                f"--device auto: this machine has {shown}, which torch {torch.__version__}, built for {made}, cannot"
                " use: install a newer driver or a torch that is built for this one; to compute without it give"
                " --device cpu, or CUDA_VISIBLE_DEVICES=-1 in the environment"
            )
        return torch.device(there[0])
    if name not in there:
        raise HarnessError(f"--device {name}: not on this machine; allowed here: auto, {', '.join(there)}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The name that the device reports."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def computes(device: str) -> bool:
    """Whether this process still computes on the device: after some errors CUDA refuses everything until it ends."""
    try:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


def spread_devices(device: str, processes: int) -> list[str]:
    """The device of each of so many processes: `cuda` means every GPU in turn, any other device is shared by all."""
    gpus = _gpu_count() if device == "cuda" else 0
    return [f"cuda:{index % gpus}" if gpus > 1 else device for index in range(processes)]


def _gpu_count() -> int:
    """The number of GPUs that CUDA opens; torch.cuda.device_count() may count those without permission too."""
    return torch.accelerator.device_count() if torch.cuda.is_available() else 0


def worker_count(device: str, threads: int, jobs_per_device: int) -> int:
    """The number of fits that run at a time: so many on each GPU, or as many as the cores and the memory allow."""
    if device == "cpu":
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(CORES // threads, memory // BYTES_PER_CPU_FIT))
    return jobs_per_device * len({*spread_devices(device, 1024)})


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return `fp32` or `bf16`: `auto` is bf16 where the GPU computes in it.

    Raises HarnessError for a bf16 that the GPU would emulate: cuDNN has no convolutions for it there.
    """
    if device.type != "cuda":
        return "fp32" if precision == "auto" else precision
    with torch.cuda.device(device):  # the question is about the current one
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not native:
        raise HarnessError(f"precision: bf16: {device_name(device)} does not compute in it; allowed here: auto, fp32")
    return "bf16" if native and precision != "fp32" else "fp32"


@dataclass(frozen=True)
class Arithmetic:
    """Where a network computes, and how. precision: `fp32` or `bf16`.

    capture: on CUDA whole steps run as one graph where that pays and gives the same bits.
    fuse: on CUDA in bf16 batch norms and what is around them run by the kernels of the harness.
    """

    device: torch.device
    precision: str
    capture: bool = True
    fuse: bool = True

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which a backbone runs at this precision.

        On CUDA without a cache of cast weights: one that a captured step reads would be out of date in the next.
        """
        if self.precision == "bf16":
            cached = self.device.type != "cuda"
            return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=cached)
        return nullcontext()


_SETTINGS: tuple[tuple[Any, str, bool], ...] = (
    (torch.backends.cudnn, "benchmark", False),
    (torch.backends.cudnn, "allow_tf32", False),  # fp32 convolutions in full precision; it matters to no other
    (torch.utils.deterministic, "fill_uninitialized_memory", False),  # a kernel for each tensor, and no other number
)


def make_deterministic(threads: int) -> None:
    """Make torch use kernels that give the same bits each time, on the same machine with so many threads."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    for module, name, value in _SETTINGS:
        setattr(module, name, value)


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Apply make_deterministic inside, and restore the settings of before at the end."""
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    count, values = torch.get_num_threads(), [getattr(module, name) for module, name, _ in _SETTINGS]
    make_deterministic(threads)
    try:
        yield
    finally:
        torch.set_num_threads(count)
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        for (module, name, _), value in zip(_SETTINGS, values, strict=True):
            setattr(module, name, value)


@contextmanager
def all_cores() -> Iterator[None]:
    """Let torch use every core inside: for inference, whose bits their number does not change."""
    threads = torch.get_num_threads()
    torch.set_num_threads(CORES)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def within_memory(attempt: Callable[[int], T], batch: int) -> tuple[T, int]:
    """Call `attempt` with a number of images at a time, and return its result and that number.

    It begins with `batch`. Where the memory of the device is not enough the attempt starts again from the beginning
    with half as many, so that the result is that of the smaller number alone.
    Raises the error of the device where even two images are too many.
    """
    size = batch
    while True:
        try:
            return attempt(size), size
        except RuntimeError as error:
            if size < 4 or not is_out_of_memory(error):
                raise
        size //= 2
        free_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error means that the memory of the device is too small. cuDNN and cuBLAS have their own words."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def free_memory() -> None:
    """Return what torch holds of the GPU's memory and does not use."""
    gc.collect()  # an error keeps its frames, and they their tensors, in cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
