"""What fine-tuning makes of a GPU: the share of its matrix peak; loader, plain loop and frozen grid beside it."""

import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from harness.execution.compute import Compute
from harness.execution.progress import Reporter
from harness.models.backbone import load_backbone
from harness.models.heads import make_head
from harness.runner import run_study
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.settings import ResolvedSettings
from harness.study.types import Switch
from harness.training.augment import Augmentation
from harness.training.device import Arithmetic, make_deterministic, resolve_precision
from harness.training.fit import fit, shuffled_batches
from harness.training.loaders import PixelLoader
from harness.training.network import Compiled, Network, fresh_backbone
from harness.training.task import FitJob, Task
from tests.bench.figure import Bench, Goal, Row, seconds
from tests.bench.grid import GRID

SIZE, BATCH, EPOCHS = 150, 64, 4
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # bf16 matrix FLOP/s by the data sheets, dense
GOALS: dict[str, Goal | None] = {
    "share of the matrix peak, resnet50": Goal(">=", 0.2),
    "share of the matrix peak, resnet152": Goal(">=", 0.25),
    "loader only / step only": Goal("<=", 0.03),
    "plain ImageFolder loop / ours": Goal(">=", 2),
    "frozen grid / one fine-tuned resnet50 fold": Goal("<=", 1),
    "heads one after the other / in one loop": None,
}


def measure(bench: Bench) -> list[Row]:
    """A row for each of GOALS, all without a value where there is no CUDA device."""
    if not torch.cuda.is_available():
        return [Row(name, None, "not measured: no CUDA device", goal) for name, goal in GOALS.items()]
    device, images = torch.device("cuda"), 640 if bench.quick else 3200
    peak, of = _peak(device)
    rates = {name: seconds_per_image(name, images, device, compiled=True) for name in ("resnet50", "resnet152")}
    shares = {name: training_flops(name) / rate / peak for name, rate in rates.items()}
    loader = loading_seconds(images, device)
    plain = plain_seconds("resnet50", bench.data / "train", 10 if bench.quick else 40, device)
    study = bench.study("gpu-grid", 5216, GRID, epochs=15, backbone="resnet50", weights="none")
    grid = seconds(lambda: _run(study, bench.store("gpu-grid"), "auto"))
    ways: dict[Switch, float] = {}
    for way in ("off", "on"):
        store = bench.store(f"gpu-grid-{way}", cache_of="gpu-grid")
        _run(study, store, way)
        ways[way] = sum(Ledger(store).record(path.name).facts.seconds for path in store.jobs.iterdir())
    fold = rates["resnet50"] * 15 * 2 / 3 * 5216
    work = f"{torch.cuda.get_device_name(device)}, bf16, channels last, compiled, {SIZE} px, batch {BATCH}"
    values = [
        (shares["resnet50"], f"{work}; {of}"),
        (shares["resnet152"], f"{work}; {of}"),
        (loader / rates["resnet50"], f"{work}; resnet50; gather, normalise and augment (flip+affine), nothing else"),
        (plain / rates["resnet50"], f"{work}; resnet50; the loop: TF32, NCHW, DataLoader with 8 workers"),
        (grid / fold, f"{work}; the grid from folder to report, 24 fits x 15 epochs; the fold EXTRAPOLATED from its"
                      " seconds per image"),
        (ways["off"] / ways["on"], f"{work}; the 24 fits of the grid on cached features, from features to predictions"),
    ]  # fmt: skip
    return [Row(name, value, f"{how}.", goal) for (name, goal), (value, how) in zip(GOALS.items(), values, strict=True)]


def seconds_per_image(backbone: str, images: int, device: torch.device, compiled: bool) -> float:
    """Of training in the harness' own loop, on random pixels that lie on the device.

    The first epoch, in which kernels are compiled, and the last, which is followed by an evaluation, are left out.
    """
    make_deterministic(torch.get_num_threads())
    settings = ResolvedSettings(backbone=backbone, weights="none", image_size=SIZE, epochs=EPOCHS, batch_size=BATCH)
    start = fresh_backbone(settings, "none", 0, device)
    head = make_head(settings, start.shape, 2).to(device)
    arithmetic = Arithmetic(device, resolve_precision("auto", device))
    network = Network(start.backbone, head, arithmetic, Compiled(start.compiled, BATCH) if compiled else None)
    rows = np.arange(images)
    task = Task(torch.from_numpy(rows % 2).to(device), rows, rows[:BATCH], 1, every_epoch=False)
    ends: list[float] = []
    job = FitJob(task, settings, 0, lambda *_: ends.append(time.perf_counter()))
    fit(network, _pixels(images, device), job, arithmetic)
    return (ends[-2] - ends[0]) / ((EPOCHS - 2) * images)


def training_flops(backbone: str) -> float:
    """The floating-point operations of forward and backward for one image, counted on shapes alone."""
    network = load_backbone(ResolvedSettings(backbone=backbone, weights="none", image_size=SIZE), 0).to("meta")
    with FlopCounterMode(display=False) as counter:
        network.train()(torch.zeros(2, 3, SIZE, SIZE, device="meta")).sum().backward()
    return float(counter.get_total_flops()) / 2


def loading_seconds(images: int, device: torch.device) -> float:
    """Of one image from the resident pixels to an augmented batch."""
    inputs = _pixels(images, device)
    augment = Augmentation("flip+affine", images, 0, device)

    def epoch() -> None:
        seen = 0
        for rows in shuffled_batches(np.arange(images), BATCH, 0):
            augment(next(inputs([rows])), seen)
            seen += len(rows)
        _wait(device)

    epoch()
    return seconds(epoch) / images


def plain_seconds(backbone: str, folder: Path, steps: int, device: torch.device, workers: int = 8) -> float:
    """Of one image in a loop as most tutorials have it; the first quarter of the steps warms up."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    settings = ResolvedSettings(backbone=backbone, weights="none", image_size=SIZE)
    start = fresh_backbone(settings, "none", 0, device)
    model = nn.Sequential(start.backbone, make_head(settings, start.shape, 2).to(device)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    mean, std = start.backbone.mean, start.backbone.std
    change = transforms.Compose(
        [transforms.Resize((SIZE, SIZE)), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )
    loader = DataLoader(datasets.ImageFolder(str(folder), change), BATCH, True, num_workers=workers, pin_memory=True)
    started, seen = time.perf_counter(), 0
    for number, (images, labels) in enumerate(islice(loader, steps)):
        loss = cross_entropy(model(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if number < steps // 4:
            _wait(device)
            started = time.perf_counter()
        else:
            seen += len(images)
    _wait(device)
    return (time.perf_counter() - started) / seen


def _pixels(images: int, device: torch.device) -> PixelLoader:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 1, SIZE, SIZE), dtype=np.uint8)
    return PixelLoader(pixels, (0.5,) * 3, (0.25,) * 3, device)


def _peak(device: torch.device) -> tuple[float, str]:
    """The bf16 matrix FLOP/s of the device, and where the number comes from."""
    name = torch.cuda.get_device_name(device)
    for model, peak in PEAK.items():
        if model in name:
            return peak, f"peak {peak / 1e12:.0f} TFLOP/s by the data sheet"
    matrix = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)

    def product() -> None:
        torch.mm(matrix, matrix)
        _wait(device)

    best = 2 * 8192**3 / min(seconds(product) for _ in range(20))
    return best, f"peak {best / 1e12:.0f} TFLOP/s, the best of 20 products of 8192 x 8192 matrices here"


def _run(study: Study, store: Store, stack: Switch) -> None:
    reporter = Reporter()
    reporter.console.quiet = True
    with reporter:
        run_study(study, store, "cuda", reporter, compute=Compute("inline", stack=stack))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
