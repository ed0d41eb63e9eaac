"""The NVIDIA GPUs of this machine as their driver lists them (NVML), whether or not torch can use them."""

import os
from contextlib import suppress
from functools import cache
from typing import Any

import pynvml


def listed_gpus() -> dict[int, Any]:
    """NVML's handles of the GPUs that this user may open, by their numbers; NVML counts the others too."""
    found: dict[int, Any] = {}
    with suppress(pynvml.NVMLError):
        for number in range(pynvml.nvmlDeviceGetCount() if _connected() else 0):
            with suppress(pynvml.NVMLError):  # no permission, or the GPU is lost
                found[number] = pynvml.nvmlDeviceGetHandleByIndex(number)
    return found


def shown_gpus() -> str:
    """The GPUs that CUDA may use, and their driver; empty where there is none, or the user hides them all."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    gpus = [] if first in ("", "-1", "NoDevFiles") else list(listed_gpus().values())
    if not gpus:
        return ""
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        driver = f"driver {pynvml.nvmlSystemGetDriverVersion()}, for CUDA up to {cuda // 1000}.{cuda % 1000 // 10}"
        more = f" and {len(gpus) - 1} more" if len(gpus) > 1 else ""
        return f"{pynvml.nvmlDeviceGetName(gpus[0])}{more} ({driver})"
    except pynvml.NVMLError:
        return "an NVIDIA GPU"


def energy_joules(uuid: str) -> float | None:
    """What this GPU has used since its driver was loaded; None where it does not tell, or where processes share it."""
    if not _connected():
        return None
    try:
        gpu = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        if len(pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)) > 1:
            return None
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)) / 1000
    except pynvml.NVMLError:  # older than Volta, a slice by MIG, or no permission
        return None


@cache
def _connected() -> bool:
    """Connect to the driver; False where there is none."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True
