"""Whole-network fine-tuning: the fits of a study, with ledger and MLflow, against a bare loop of the same steps."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from harness.data.dataset import Rows
from harness.data.folds import Fold
from harness.data.pixels import open_pixels, pixel_cache
from harness.errors import JobError
from harness.execution.compute import Compute
from harness.execution.progress import Reporter
from harness.models.backbone import feature_shape, load_backbone
from harness.models.heads import make_head
from harness.prepare import prepare
from harness.runner import run_study
from harness.store.results import FoldRecord
from harness.study import Study
from harness.study.plan import Job
from harness.study.settings import Settings
from harness.training.loaders import PixelLoader
from tests.bench.figure import Bench, Goal, Row, ratio

CPU = torch.device("cpu")


def measure(bench: Bench) -> list[Row]:
    """The harness over the bare loop, in turns, with the same threads."""
    images, epochs, rounds = (60, 1, 1) if bench.quick else (240, 3, 3)
    settings: dict[str, Any] = {
        "backbone": "resnet18",
        "weights": "none",
        "trainable": "all",
        "epochs": epochs,
        "batch_size": 32,
    }
    study = bench.study("finetune", images, [{"name": "one"}], **settings)
    bare = _bare(study, bench)
    harness: list[float] = []
    loop: list[float] = []
    for number in range(rounds):
        clock = _StageClock()
        with clock:
            store = bench.store(f"finetune-{number}", cache_of="finetune")
            run_study(study, store, "cpu", clock, compute=Compute("inline", threads=torch.get_num_threads()))
        harness.append(clock.seconds)
        started = time.perf_counter()
        bare()
        loop.append(time.perf_counter() - started)
    work = (
        f"resnet18, {images} images at 150 px, 3 folds x {epochs} epochs, batch 32, Adam, validation after every epoch,"
        f" {torch.get_num_threads()} thread(s). Ours: from the first fit's beginning to the last one's end, with ledger"
        " and MLflow; without start, audit and report, whose time does not depend on the length of the fits"
    )
    return [ratio("fine-tuning: harness with MLflow / bare loop", harness, loop, Goal("<=", 1.05), f"{work}.")]


class _StageClock(Reporter):
    """Says nothing; the wall time from the beginning of the first stage to the end of its last job."""

    def __init__(self) -> None:
        super().__init__()
        self.console.quiet = True
        self._began, self.seconds = 0.0, 0.0

    def begin(self, name: str, jobs: list[Job]) -> None:
        self._began = time.perf_counter()
        super().begin(name, jobs)

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        super().job_ended(job, outcome)
        self.seconds = time.perf_counter() - self._began


def _bare(study: Study, bench: Bench) -> Callable[[], None]:
    """A loop of the same steps on the same decoded pixels, as one would write it by hand."""
    store = bench.store("finetune")
    inputs = prepare(study, store).inputs
    pixels = open_pixels(pixel_cache(inputs.dataset, 150, store))
    labels = torch.from_numpy(inputs.dataset.labels)
    settings = study.base.model_copy(update={"image_size": 150})

    def run() -> None:
        for fold in inputs.folds:
            _fit(settings, fold, pixels, labels)

    return run


def _fit(settings: Settings, fold: Fold, pixels: np.ndarray, labels: torch.Tensor) -> None:
    backbone = load_backbone(settings, 0)
    head = make_head(settings, feature_shape(backbone, 150), 2)
    model = nn.Sequential(backbone, head).to(memory_format=torch.channels_last)
    batch = PixelLoader(pixels, backbone.mean, backbone.std, CPU)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    for _ in range(settings.epochs):
        model.train()
        for rows in _parts(np.random.permutation(fold.train), settings.batch_size):
            loss = cross_entropy(model(next(batch([rows]))), labels[torch.from_numpy(rows)])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            hits = [
                (model(next(batch([rows]))).argmax(dim=1) == labels[torch.from_numpy(rows)]).sum()
                for rows in _parts(fold.validation, settings.batch_size)
            ]
        int(torch.stack(hits).sum())


def _parts(rows: Rows, size: int) -> list[Rows]:
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [*parts[:-2], np.concatenate(parts[-2:])] if len(parts[-1]) == 1 and len(parts) > 1 else parts
