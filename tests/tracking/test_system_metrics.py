import psutil
import pynvml
import pytest

from harness.tracking import system_metrics as module
from harness.tracking.system_metrics import system_metrics


def test_the_load_has_the_names_of_mlflows_system_metrics() -> None:
    found = system_metrics()
    assert all(name.startswith("system/") for name in found)
    assert 0 <= found["system/cpu_utilization_percentage"] <= 100
    assert 0 < found["system/system_memory_usage_percentage"] < 100
    assert found["system/system_memory_usage_megabytes"] > 50


def test_a_gpu_that_does_not_report_its_load_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(gpu: str) -> pynvml.c_nvmlUtilization_t:
        if gpu == "lost":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return pynvml.c_nvmlUtilization_t(gpu=42)

    monkeypatch.setattr(module, "listed_gpus", lambda: {0: "lost", 3: "sound"})
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", load)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _: pynvml.c_nvmlMemory_t(used=2_000_000))
    found = {name: value for name, value in system_metrics().items() if "gpu" in name}
    assert found == {"system/gpu_3_utilization_percentage": 42.0, "system/gpu_3_memory_usage_megabytes": 2.0}


def test_a_load_that_cannot_be_read_fails_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("of a library that is older than its bindings")

    monkeypatch.setattr(module, "listed_gpus", fail)
    assert "system/cpu_utilization_percentage" in system_metrics()
    monkeypatch.setattr(psutil, "virtual_memory", fail)
    assert system_metrics() == {}
