"""The load of this machine, under MLflow's names."""

from contextlib import suppress

import psutil
import pynvml

from harness.store.results import Metrics
from harness.training.nvidia import listed_gpus


def system_metrics() -> Metrics:
    """The load of processor and memory now, and of every NVIDIA GPU: percent since the last call, and megabytes.

    What cannot be read is left out, whatever the reason: no fit fails by being watched.
    The names are those of MLflow's own monitor, whose thread is not worth its cost for a fold of a few seconds.
    """
    found: Metrics = {}
    for read in (_machine, _gpus):
        with suppress(Exception):
            found |= read()
    return found


def _machine() -> Metrics:
    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
    }


def _gpus() -> Metrics:
    found: Metrics = {}
    for index, gpu in listed_gpus().items():
        with suppress(pynvml.NVMLError):  # a MIG slice does not report its load
            busy, memory = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu, pynvml.nvmlDeviceGetMemoryInfo(gpu)
            found[f"system/gpu_{index}_utilization_percentage"] = float(busy)
            found[f"system/gpu_{index}_memory_usage_megabytes"] = memory.used / 1e6
    return found
