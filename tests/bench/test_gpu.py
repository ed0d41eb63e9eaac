"""The figures of a GPU: their logic on the CPU, and that no line of them fails on its first real run."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.training import network
from tests.bench import FIGURES
from tests.bench.figure import Bench
from tests.bench.gpu import compiling, frozen, kernels, mps, rival, sharing, steps
from tests.bench.gpu.loop import EAGER, Scale, Timed
from tests.bench.gpu.roof import ByteCounter, Roof, matrix_peak, step_bytes, step_flops

CPU = torch.device("cpu")
TINY = Scale(("test_resnet",), size=32, batch=4, images=16, epochs=4)


@pytest.fixture(autouse=True)
def one_start() -> Iterator[None]:
    """No network of another test, and none is left."""
    network._start.cache_clear()
    yield
    network._start.cache_clear()


@pytest.fixture
def roof(monkeypatch: pytest.MonkeyPatch) -> Roof:
    monkeypatch.setattr("tests.bench.gpu.roof.matrix_peak", lambda _: (1e12, "invented"))
    return Roof(CPU, megabytes=1)


def test_without_cuda_every_figure_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bench = Bench(tmp_path, "resnet18", "none", tmp_path, quick=True)
    names = [name for name in FIGURES if name.startswith("gpu-")]
    rows = [row for name in names for row in import_module(FIGURES[name]).measure(bench)]
    assert [row.name for row in rows] == names
    assert {(row.value, row.verdict, row.work) for row in rows} == {(None, "not measured", "no CUDA device")}


@pytest.mark.parametrize(("backbone", "tera"), [("resnet50", 0.76), ("resnet152", 2.19)])
def test_the_operations_of_a_training_step_are_counted(backbone: str, tera: float) -> None:
    assert step_flops(backbone, Scale()) / 1e12 == pytest.approx(tera, rel=0.03)


def test_the_bytes_of_a_training_step_are_counted() -> None:
    image, maps = 4 * 3 * 8 * 8, 4 * 16 * 8 * 8  # values of a batch of four images, and of what a convolution makes
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()).to("meta")
    with ByteCounter() as counter:
        network(torch.zeros(4, 3, 8, 8, device="meta")).sum().backward()
    weight = 16 * 3 * 9
    convolution = (image + weight + maps) + (maps + image + weight + weight)  # no gradient of the images is needed
    batch_norm = 3 * maps + 5 * maps
    assert counter.bytes / 4 == convolution + batch_norm
    assert step_bytes("resnet50", Scale()) / 1e9 == pytest.approx(11.07, rel=0.01)


@pytest.mark.long
def test_the_rows_of_a_step(roof: Roof) -> None:
    rows = {row.name: row for row in steps.rows_of(TINY, CPU, roof)}
    assert list(rows) == [
        "images/s: test_resnet, eager", "images/s: test_resnet, one graph a step, torch's kernels",
        "images/s: test_resnet, one graph a step", "share of the matrix peak: test_resnet, one graph a step",
        "share of the memory roof: test_resnet, one graph a step", steps.LOADER,
    ]  # fmt: skip
    assert all(row.value and row.value > 0 for row in rows.values())
    rate = rows["images/s: test_resnet, one graph a step"]
    assert rate.rounds == TINY.epochs - 2
    share = rows["share of the matrix peak: test_resnet, one graph a step"]
    assert rate.value is not None
    assert share.value == pytest.approx(step_flops("test_resnet", TINY) * rate.value / TINY.batch / 1e12)


def test_a_gpu_without_a_data_sheet_is_measured() -> None:
    peak, words = matrix_peak(CPU, side=64)
    assert peak > 0
    assert "here" in words


def test_the_first_and_the_last_epoch_are_not_timed() -> None:
    timed = Timed(first=9.0, epochs=[1.0, 3.0, 2.0], images=10)
    assert (timed.per_image, timed.once) == (0.2, 7.0)
    row = timed.row("images/s", "the work", batch=5)
    assert (row.value, row.low, row.high, row.rounds) == (5.0, 10 / 3, 10.0, 3)
    assert "1000.00 ms a step, 7.0 s once" in row.work


def test_a_trace_is_read() -> None:
    events = [
        {"cat": "kernel", "name": "conv", "ts": 100, "dur": 50},
        {"cat": "kernel", "name": "conv", "ts": 120, "dur": 40},
        {"cat": "gpu_memcpy", "name": "copy", "ts": 180, "dur": 20},
        {"cat": "cpu_op", "name": "x", "ts": 0, "dur": 999},
        {"cat": "gpu_user_annotation", "name": "step", "ts": 0, "dur": 999},
        {"name": "no category"},
    ]
    found = kernels.read_trace({"traceEvents": events})
    assert (found.kernels, found.copies) == (2, 1)
    assert found.busy == pytest.approx(80e-6)  # 100 to 160, 180 to 200
    assert found.span == pytest.approx(100e-6)
    assert found.names["conv"] == pytest.approx(90e-6)
    assert [row.value for row in kernels._rows("x", found, 2, "work")] == [1.0, pytest.approx(0.8)]


def test_where_the_profiler_sees_no_kernel_the_row_says_so() -> None:
    found = kernels.traced("test_resnet", EAGER, TINY, CPU)  # a CPU has none
    assert {(row.value, row.work) for row in kernels._rows("x", found, 4, "work")} == {(None, kernels.NOTHING_SEEN)}


def test_syncs_are_counted_by_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = 2

    def counted(work: Callable[[], object]) -> Counter[str]:
        work()
        made.append(1)
        steps = 4 * max(1, len(made) - 1)
        return Counter({"fit.py:1": 7 + 3 * epochs * steps})  # 7 once, and 3 in each step: of 4, of 4 again, of 8

    made: list[int] = []
    monkeypatch.setattr(kernels, "counted_syncs", counted)
    assert kernels.syncs_a_step("test_resnet", TINY, CPU) == 3


def test_the_plain_loop_runs_beside_ours(image_folder: Path) -> None:
    torch.use_deterministic_algorithms(False)
    rows = list(rival.rows_of(image_folder / "train", TINY, CPU, workers=0))
    assert [row.name for row in rows] == [rival.RATIO, rival.ALONE]
    assert all(row.value and row.value > 0 for row in rows)
    assert "20 files such as 32x32 px" in rows[0].work
    assert torch.are_deterministic_algorithms_enabled(), "the settings of our loop are back"
    with pytest.raises(ValueError, match="less than one batch"):
        list(rival.rows_of(image_folder / "train", replace(TINY, batch=40, images=80), CPU, workers=0))


@pytest.mark.slow
def test_the_plain_loop_reads_with_workers(image_folder: Path) -> None:
    assert next(rival.rows_of(image_folder / "train", TINY, CPU, workers=2)).value


def test_from_how_many_images_on_compiling_pays() -> None:
    plain, both = Timed(1.0, [2.0, 2.0], 10), Timed(41.0, [1.0, 1.0], 10)
    assert compiling.pays_from("resnet50", plain, both, both, "work").value == 400
    never = compiling.pays_from("resnet50", both, plain, plain, "work")
    assert (never.value, never.verdict) == (None, "not measured")
    assert "never" in never.work


@pytest.mark.long
def test_the_rows_of_compiling(roof: Roof) -> None:
    rows = list(compiling.rows_of(TINY, CPU, roof))
    assert [row.name.partition(":")[0] for row in rows] == [
        "images/s", "seconds to compile", "images/s", "share of the matrix peak", "share of the memory roof",
        "images from which compiling pays",
    ]  # fmt: skip
    seconds = rows[1].value
    assert seconds is not None and seconds > 1


@pytest.mark.long
def test_fits_share_a_device() -> None:
    rows = list(sharing.rows_of(TINY, "cpu", duration=0.2, most=2))
    assert [row.name for row in rows] == [
        "images/s: resnet50, 1 fit on the GPU", "images/s: resnet50, 2 fits on the GPU",
        *(f"images/s: resnet50, {count} on the GPU under MPS" for count in ("1 fit", "2 fits", "3 fits")),
    ]  # fmt: skip
    assert all(row.value and row.value > 0 for row in rows[:2])
    assert (rows[2].value, rows[2].work) == (None, "no CUDA device")


@pytest.mark.long
def test_a_process_that_fails_is_told() -> None:
    unknown = replace(TINY, backbones=("no_such_network",))
    with (
        pytest.raises(RuntimeError, match=r"shares the GPU failed: .*no_such_network"),
        sharing.fits(unknown, "cpu", count=1),
    ):
        raise AssertionError("there is no such network")


def test_the_daemon_of_mps_is_started_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program that notes how it was called, in place of NVIDIA's."""
    program = tmp_path / mps.CONTROL
    program.write_text(f'#!/bin/sh\n{{ echo "$1 $CUDA_MPS_PIPE_DIRECTORY"; cat; }} >> {tmp_path}/calls\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    with mps.mps():
        folder = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
        assert Path(folder).is_dir()
    assert (tmp_path / "calls").read_text() == f"-d {folder}\n {folder}\nquit\n"
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert not Path(folder).exists()
    program.write_text("#!/bin/sh\necho not permitted\nexit 3\n")
    with pytest.raises(RuntimeError, match=r"-d ended with 3: not permitted"), mps.mps():
        raise AssertionError("nothing is measured without the daemon")


def test_mps_is_tried_only_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert mps.absent() == f"{mps.CONTROL} is not installed"


def test_a_fit_that_fails_is_no_figure(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no capture here")

    monkeypatch.setattr("harness.training.run.run_training", refuse)
    (tmp_path / "bench").mkdir()
    bench = Bench(image_folder, "test_resnet", "none", tmp_path / "bench", quick=True)
    with pytest.raises(RuntimeError, match="1 fits failed: no capture here"):
        next(frozen.rows_of(bench, "cpu", "test_resnet", epochs=1))


@pytest.mark.gpu
@pytest.mark.slow
def test_the_figures_are_measured_on_a_gpu(image_folder: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    scale = replace(TINY, backbones=("resnet18",), size=64, batch=8, images=64)
    device = torch.device("cuda")
    assert all(row.value for row in steps.rows_of(scale, device, Roof(device)))
    assert all(row.value is not None for row in kernels.rows_of(scale, device))
    assert all(row.value for row in rival.rows_of(image_folder / "train", scale, device, workers=2))
    assert next(sharing.rows_of(scale, "cuda", duration=0.5)).value
    (tmp_path / "bench").mkdir()
    bench = Bench(image_folder, "resnet18", "none", tmp_path / "bench", quick=True)
    assert all(row.value for row in frozen.rows_of(bench, "cuda", "resnet18", epochs=1))
