import pytest
import torch

from harness.training.device import spread_devices


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
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, processes: int, expected: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert spread_devices(device, processes) == expected
