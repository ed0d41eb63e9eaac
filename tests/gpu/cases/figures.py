"""The figures of the bench that need a CUDA device, on the simulated one: that they run, not how fast."""

from pathlib import Path

import pytest
import torch

from tests.bench.figure import Bench
from tests.bench.gpu import frozen, kernels, rival, steps
from tests.bench.gpu.loop import Scale
from tests.bench.gpu.roof import Roof

CUDA = torch.device("cuda")
SMALL = Scale(("test_resnet",), size=32, batch=4, images=40, epochs=4)  # enough steps for a graph


def test_a_step_is_timed() -> None:
    rows = list(steps.rows_of(SMALL, CUDA, Roof(CUDA, megabytes=1)))
    assert all(row.value and row.value > 0 for row in rows)
    assert "by the data sheet" in rows[3].work


def test_the_waits_of_a_step_are_counted_and_a_profiler_that_sees_nothing_is_told() -> None:
    syncs, *others = kernels.rows_of(SMALL, CUDA)
    assert (syncs.value, syncs.verdict) == (0, "met")
    assert {(row.value, row.work) for row in others} == {(None, kernels.NOTHING_SEEN)}


def test_the_plain_loop_runs_beside_ours(image_folder: Path) -> None:
    rows = list(rival.rows_of(image_folder / "train", SMALL, CUDA, workers=0))
    assert all(row.value and row.value > 0 for row in rows)


def test_the_grid_runs_beside_a_fold(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "GRID", [{"name": "grid", "grid": {"oversampling": ["none", "random"]}}])
    (tmp_path / "bench").mkdir()
    bench = Bench(image_folder, "test_resnet", "none", tmp_path / "bench", quick=True)
    rows = {row.name: row for row in frozen.rows_of(bench, "cuda", "test_resnet", epochs=1)}
    assert list(rows) == list(frozen.GOALS)
    assert all(row.value and row.value > 0 for row in rows.values())
    work, parts = rows[frozen.WHOLE].work, rows[frozen.WHOLE].parts
    assert "NVIDIA H100 80GB HBM3 (simulated)" in work and "the grid: 6 fits" in work
    assert rows[frozen.WHOLE].value == pytest.approx(parts["grid_s"][1] / parts["fold_s"][1])
    assert rows[frozen.ON_DEVICE].value == pytest.approx(parts["grid_s"][0] / parts["fold_s"][0])
