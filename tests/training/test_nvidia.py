"""The driver's library stands in: this machine may have none."""

import pynvml
import pytest

from harness.training import nvidia
from harness.training.nvidia import listed_gpus, shown_gpus


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that lists three GPUs, of which the user may open the first and the last."""

    def handle(number: int) -> str:
        if number == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return f"gpu {number}"

    nvidia._connected.cache_clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetName": lambda gpu: f"NVIDIA {gpu}",
        "nvmlSystemGetDriverVersion": lambda: "535.104",
        "nvmlSystemGetCudaDriverVersion": lambda: 12020,
    }.items():
        monkeypatch.setattr(pynvml, name, value)


@pytest.fixture(autouse=True)
def _forget() -> None:
    nvidia._connected.cache_clear()


@pytest.mark.usefixtures("driver")
def test_a_gpu_without_permission_is_not_listed() -> None:
    assert listed_gpus() == {0: "gpu 0", 2: "gpu 2"}
    assert shown_gpus() == "NVIDIA gpu 0 and 1 more (driver 535.104, for CUDA up to 12.2)"


@pytest.mark.usefixtures("driver")
def test_where_no_gpu_may_be_opened_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", _refuse)
    assert (listed_gpus(), shown_gpus()) == ({}, "")


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("variable", "hidden"),
    [("", True), ("-1", True), (" -1,0", True), ("NoDevFiles", True), ("0", False), ("GPU-6a5b,1", False)],
)
def test_gpus_that_the_user_hides_are_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str, hidden: bool) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert (shown_gpus() == "") == hidden


@pytest.mark.usefixtures("driver")
def test_a_driver_that_fails_half_way_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", _refuse)
    assert shown_gpus() == "an NVIDIA GPU"
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", _refuse)
    assert listed_gpus() == {}


def test_no_driver_lists_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", _refuse)
    assert (listed_gpus(), shown_gpus()) == ({}, "")


def _refuse(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
