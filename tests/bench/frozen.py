"""What the heads of a frozen grid add: a whole study over one plain pass of its backbone over the same images."""

from pathlib import Path

import numpy as np
import torch

from harness.data.pixels import open_pixels, pixel_cache
from harness.models.backbone import load_backbone
from harness.prepare import prepare
from harness.study import Study
from harness.training.device import worker_count
from harness.training.loaders import PixelLoader, parts_of
from tests.bench.figure import Bench, Goal, Row, in_turns, quiet_run, ratio
from tests.bench.grid import HEADS

KINDS = {"maps": (HEADS, 2.5), "vectors": (["linear", "mlp", "knn", "logistic"], 1.5)}  # heads, goal
BATCH = 64


def measure(bench: Bench) -> list[Row]:
    """The grid of four heads with and without oversampling, of maps and of vectors, over a plain pass."""
    images, epochs, rounds = (300, 3, 1) if bench.quick else (5216, 15, 2)
    return [_row(bench, kind, images, epochs, rounds) for kind in KINDS]


def _row(bench: Bench, kind: str, images: int, epochs: int, rounds: int) -> Row:
    heads, goal = KINDS[kind]
    stages = [{"name": "grid", "grid": {"head": heads, "oversampling": ["none", "random"]}}]
    study = bench.study(f"frozen-{kind}", images, stages, epochs=epochs, precision="fp32")
    decoded = bench.store(f"frozen-{kind}")
    pixels = pixel_cache(prepare(study, decoded).inputs.dataset, 150, decoded)
    stores = (bench.store(f"frozen-{kind}-{number}") for number in range(rounds))
    times = in_turns(
        {"study": lambda: quiet_run(study, next(stores), "inline"), "pass": lambda: _plain_pass(study, pixels)}, rounds
    )
    work = (
        f"{bench.backbone}, {images} images at 150 px, heads {', '.join(heads)} x oversampling x 3 folds, {epochs}"
        f" epochs: run_study from the image folder to the report, MLflow and audit included, one fit at a time"
        f" of one thread, the extraction with {worker_count('cpu', 1, 1)}. Pass: the backbone in fp32 over the decoded"
        f" training images, batches of {BATCH}, one thread."
    )
    return ratio(f"frozen grid of {kind} / a plain pass", times["study"], times["pass"], Goal("<=", goal), work)


def _plain_pass(study: Study, pixels: Path) -> None:
    """One pass over the training images as anyone would write it."""
    images = open_pixels(pixels)
    backbone = load_backbone(study.base.resolved(150), 0).eval()
    loader = PixelLoader(images, backbone.mean, backbone.std, torch.device("cpu"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for batch in loader(parts_of(np.arange(len(images)), BATCH)):
                backbone(batch.contiguous())
    finally:
        torch.set_num_threads(threads)
