"""The device and the arithmetic of a fit."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch

from harness.errors import HarnessError

T = TypeVar("T")
CORES = torch.get_num_threads()  # that torch would use: those of the machine, or OMP_NUM_THREADS
WORKER_MEMORY = 3 * 2**29  # bytes that a fit on the CPU has to have: 1.5 GiB


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first there is of cuda, mps and cpu.

    Raises HarnessError where it is not there.
    """
    there = [
        device
        for device, present in (
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
            ("cpu", True),
        )
        if present
    ]
    if name == "auto":
        return torch.device(there[0])
    kind, _, index = name.partition(":")
    if kind not in there or not re.fullmatch(r"[0-9]{0,3}", index) or name.endswith(":"):
        raise HarnessError(f"--device {name}: not on this machine; allowed here: auto, {', '.join(there)}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def spread_devices(device: str, processes: int) -> list[str]:
    """The device of each of so many processes: `cuda` means every GPU in turn, any other device is everybody's."""
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{index % gpus}" if gpus > 1 else device for index in range(processes)]


def worker_count(device: str, threads: int, jobs_per_device: int) -> int:
    """How many fits this machine takes at a time: so many on each GPU, or as many as its cores and memory feed."""
    if device == "cpu":
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(CORES // threads, memory // WORKER_MEMORY))
    return jobs_per_device * len({*spread_devices(device, 1024)})


def resolve_precision(precision: str, device: torch.device) -> str:
    """`fp32` or `bf16`: what `auto` comes to on this device."""
    if precision == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return precision


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network runs at this (resolved) precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def make_deterministic(threads: int) -> None:
    """Asks torch for kernels that give the same bits each time, on the same machine with so many threads."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """The arithmetic of make_deterministic inside, and what was there before after it."""
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    count, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    make_deterministic(threads)
    try:
        yield
    finally:
        torch.set_num_threads(count)
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def all_cores() -> Iterator[None]:
    """Lets torch use every core inside: for inference, whose bits their number does not change."""
    threads = torch.get_num_threads()
    torch.set_num_threads(CORES)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def within_memory(attempt: Callable[[int], T], batch: int) -> tuple[T, int]:
    """What `attempt` gives, and the number of images at a time that it was given: the batch, or what memory allows.

    Where the device's memory is not enough the attempt starts again from the beginning with half as many, so that the
    result is that of the smaller number alone. Raises torch.OutOfMemoryError where even two images are too many.
    """
    size = batch
    while True:
        try:
            return attempt(size), size
        except torch.OutOfMemoryError:
            if size < 4:
                raise
        size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
