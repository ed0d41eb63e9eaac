"""The driver's library stands in: this machine may have none."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from harness.training import nvidia
from harness.training.nvidia import energy_joules
from harness.training.usage import Meter, Usage

UUID = "6a5b"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A GPU whose energy counter (mJ), processes and clock a test sets."""
    state: dict[str, Any] = {"energy": 5_000, "processes": [1], "peak": 3 * 2**20, "time": 100.0}

    def counter(_handle: str) -> int:
        if isinstance(state["energy"], Exception):
            raise state["energy"]
        return int(state["energy"])

    nvidia._connected.cache_clear()
    for name, value in {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: {f"GPU-{UUID}": "the GPU"}[uuid],
        "nvmlDeviceGetComputeRunningProcesses": lambda _handle: state["processes"],
        "nvmlDeviceGetTotalEnergyConsumption": counter,
    }.items():
        monkeypatch.setattr(pynvml, name, value)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(uuid=UUID))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: state["peak"])
    monkeypatch.setattr("time.perf_counter", lambda: state["time"])
    return state


@pytest.fixture(autouse=True)
def _forget() -> None:
    nvidia._connected.cache_clear()


def test_the_energy_of_a_fit_is_what_the_counter_of_the_gpu_gained(gpu: dict[str, Any]) -> None:
    meter = Meter(torch.device("cuda"))
    gpu |= {"energy": 5_000 + 7_200_000, "time": 130.0}
    used = meter.read()
    assert used == Usage(seconds=30.0, peak_memory=3 * 2**20, energy_wh=2.0)
    assert used.share(4) == Usage(seconds=7.5, peak_memory=None, energy_wh=0.5)  # of a stack


def test_the_energy_of_a_gpu_that_others_use_is_not_that_of_the_fit(gpu: dict[str, Any]) -> None:
    meter = Meter(torch.device("cuda"))
    gpu |= {"processes": [1, 2], "time": 130.0}
    assert meter.read() == Usage(30.0, 3 * 2**20, None)


def test_an_instant_has_no_energy_as_the_counter_moves_in_steps(gpu: dict[str, Any]) -> None:
    meter = Meter(torch.device("cuda"))
    gpu["time"] += 0.5
    assert meter.read().energy_wh is None


def test_a_gpu_without_a_counter_has_no_energy(gpu: dict[str, Any]) -> None:
    gpu["energy"] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    meter = Meter(torch.device("cuda"))
    gpu["time"] += 30
    assert meter.read() == Usage(30.0, 3 * 2**20, None)


def test_without_a_driver_there_is_no_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert energy_joules(f"GPU-{UUID}") is None


def test_a_cpu_tells_the_time_alone() -> None:
    used = Meter(torch.device("cpu")).read()
    assert used == Usage(used.seconds)
