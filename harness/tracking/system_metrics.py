"""The load of this machine, under MLflow's names."""

from contextlib import suppress
from functools import cache

import psutil
import pynvml

from harness.store.results import Metrics


def system_metrics() -> Metrics:
    """The load of processor and memory now, and of every NVIDIA GPU: percent since the last call, and megabytes.

    The names are those of MLflow's own monitor, whose thread is not worth its cost for a fold of a few seconds.
    """
    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        **_gpus(),
    }


def _gpus() -> Metrics:
    found: Metrics = {}
    for index in range(_gpu_count()):
        device = pynvml.nvmlDeviceGetHandleByIndex(index)
        with suppress(pynvml.NVMLError):  # a MIG slice does not report its load
            busy, memory = pynvml.nvmlDeviceGetUtilizationRates(device).gpu, pynvml.nvmlDeviceGetMemoryInfo(device)
            found[f"system/gpu_{index}_utilization_percentage"] = float(busy)
            found[f"system/gpu_{index}_memory_usage_megabytes"] = memory.used / 1e6
    return found


@cache
def _gpu_count() -> int:
    """The number of NVIDIA GPUs; 0 where there is no driver."""
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0
