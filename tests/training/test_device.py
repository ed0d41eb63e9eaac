from collections.abc import Callable

import pytest
import torch

from harness.errors import HarnessError
from harness.training import device as module
from harness.training.device import choose_device, resolve_precision, spread_devices

OLD_DRIVER = "NVIDIA H100 (driver 535.104, for CUDA up to 12.2)"
See = Callable[[int], None]


@pytest.fixture
def see(monkeypatch: pytest.MonkeyPatch) -> See:
    """Lets torch see so many GPUs."""

    def gpus(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)

    return gpus


@pytest.mark.parametrize(
    ("device", "gpus", "processes", "expected"),
    [
        ("cuda", 2, 5, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 4, 2, ["cuda:0", "cuda:1"]),
        ("cuda", 1, 2, ["cuda", "cuda"]),
        ("cuda:1", 2, 2, ["cuda:1", "cuda:1"]),
        ("cpu", 2, 2, ["cpu", "cpu"]),
    ],
)
def test_processes_are_dealt_to_the_gpus_in_turn(
    see: See, monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, processes: int, expected: list[str]
) -> None:
    see(gpus)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus + 1)  # of which one may not be opened
    assert spread_devices(device, processes) == expected


@pytest.mark.parametrize("name", ["cuda:2", "cuda:", "cuda:00", "cpu:1", "mps:0", "quantum", ""])
def test_a_device_that_is_not_there_is_refused_with_what_is(see: See, name: str) -> None:
    see(2)
    with pytest.raises(
        HarnessError, match=rf"^--device {name}: not .*; allowed here: auto, cuda, cuda:0, cuda:1, cpu$"
    ):
        choose_device(name)
    assert [str(choose_device(name)) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]


def test_auto_does_not_take_the_cpu_where_torch_cannot_use_the_gpu(see: See, monkeypatch: pytest.MonkeyPatch) -> None:
    see(0)
    monkeypatch.setattr(module, "shown_gpus", lambda: OLD_DRIVER)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    with pytest.raises(HarnessError) as caught:
        choose_device("auto")
    text = str(caught.value)
    assert text.startswith(f"--device auto: this machine has {OLD_DRIVER}, which torch {torch.__version__}, built for")
    assert "built for CUDA 13.2, cannot use: install a newer driver" in text
    assert "\n" not in text
    assert choose_device("cpu").type == "cpu"
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(HarnessError, match="built for the CPU"):
        choose_device("auto")


def test_auto_is_the_cpu_where_there_is_no_gpu(see: See, monkeypatch: pytest.MonkeyPatch) -> None:
    see(0)
    monkeypatch.setattr(module, "shown_gpus", lambda: "")
    assert choose_device("auto").type == "cpu"


@pytest.fixture
def generations(monkeypatch: pytest.MonkeyPatch, see: See) -> None:
    """Two GPUs: cuda:0 computes in bf16, and cuda:1, a Tesla T4, emulates it."""
    current = [0]

    class Using:
        def __init__(self, device: torch.device) -> None:
            self._device = device.index or 0

        def __enter__(self) -> None:
            current.append(self._device)

        def __exit__(self, *_: object) -> None:
            current.pop()

    see(2)
    monkeypatch.setattr(torch.cuda, "device", Using)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or current[-1] == 0
    )


@pytest.mark.usefixtures("generations")
@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", "cuda", "bf16"),
        ("auto", "cuda:0", "bf16"),
        ("auto", "cuda:1", "fp32"),
        ("fp32", "cuda:0", "fp32"),
        ("auto", "cpu", "fp32"),
        ("bf16", "cpu", "bf16"),
    ],
)
def test_auto_is_bf16_where_that_gpu_computes_in_it(precision: str, device: str, expected: str) -> None:
    assert resolve_precision(precision, torch.device(device)) == expected


@pytest.mark.usefixtures("generations")
def test_a_bf16_that_would_be_emulated_is_refused() -> None:
    with pytest.raises(
        HarnessError, match=r"^precision: bf16: Tesla T4 does not compute in it; allowed here: auto, fp32"
    ):
        resolve_precision("bf16", torch.device("cuda:1"))
