from pathlib import Path

import pytest
import torch

from harness.training import network
from tests.bench import gpu
from tests.bench.figure import Bench

CPU = torch.device("cpu")


def test_without_cuda_every_row_says_that_it_was_not_measured(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = gpu.measure(Bench(image_folder, "resnet18", "none", tmp_path, quick=True))
    assert len(rows) == 6
    assert {(row.value, row.verdict, row.work) for row in rows} == {
        (None, "not measured", "not measured: no CUDA device")
    }


@pytest.mark.parametrize(("backbone", "giga"), [("resnet50", 11.8), ("resnet152", 34.3)])
def test_the_operations_of_a_training_step_are_counted(backbone: str, giga: float) -> None:
    assert gpu.training_flops(backbone) / 1e9 == pytest.approx(giga, rel=0.03)


def test_the_parts_that_need_no_gpu_run(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "BATCH", 4)
    monkeypatch.setattr(gpu, "SIZE", 32)
    network._start.cache_clear()
    assert gpu.seconds_per_image("test_resnet", 16, CPU, compiled=False) > 0
    assert gpu.loading_seconds(16, CPU) > 0
    assert gpu.plain_seconds("test_resnet", image_folder / "train", 4, CPU, workers=0) > 0
    network._start.cache_clear()


@pytest.mark.gpu
def test_the_figures_are_measured_on_a_gpu(image_folder: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rows = gpu.measure(Bench(image_folder, "resnet18", "none", tmp_path, quick=True))
    assert all(row.value is not None and row.value > 0 for row in rows)
