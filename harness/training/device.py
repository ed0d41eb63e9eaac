"""The device and the arithmetic of a fit."""

import os
import re
from contextlib import AbstractContextManager

import torch

from harness.errors import HarnessError


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


def resolve_precision(precision: str, device: torch.device) -> str:
    """`fp32` or `bf16`: what `auto` comes to on this device."""
    if precision == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return precision


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network runs at this (resolved) precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def make_deterministic() -> None:
    """Asks torch for kernels that give the same bits each time, on the same machine."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def share_cores(processes: int) -> None:
    """Leaves the other `processes - 1` their part of the cores."""
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
