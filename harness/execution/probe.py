"""Time some steps of a network on random images, before a study is run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.execution.costs import Probe
from harness.models.backbone import Backbone, feature_shape, load_backbone
from harness.models.heads import Shape, bare, make_head, moments_of, part_read
from harness.models.linear_models import Vectors
from harness.models.probes import ProbeHead
from harness.study.settings import ResolvedSettings
from harness.training.device import (
    Arithmetic,
    all_cores,
    deterministic,
    device_name,
    resolve_precision,
    within_memory,
)
from harness.training.extract import FeatureArrays, extract
from harness.training.fit import fit
from harness.training.loaders import Loader, PixelLoader
from harness.training.network import Network
from harness.training.predict import predict
from harness.training.task import FitJob, Task

CPU_IMAGES = 16  # through a backbone, per batch and in total: on a CPU a large one takes seconds per image
NO_SOURCES: Mapping[str, str] = {}
TIMED_BATCHES = 4  # of a head, and of whole networks on a GPU
PROBED_VECTORS, HELD_OUT = 2_048, 5  # for a head that learns in one go, and that every fifth of them is held out


def probe(
    settings: ResolvedSettings,
    classes: int,
    device: torch.device,
    machine: str,
    sources: Mapping[str, str] = NO_SOURCES,
) -> Probe:
    """Measure the cost of a network in one epoch of the training loop on random gray images, after a warm-up epoch.

    A head that learns in one go is fitted to PROBED_VECTORS random vectors instead. The network's weights are random:
    they do not matter for time or memory. sources: of the user's own parts.
    """
    frozen, on_cpu = settings.trainable == "head", device.type == "cpu"
    batch = min(settings.batch_size, CPU_IMAGES) if on_cpu and not frozen else settings.batch_size
    count = CPU_IMAGES if on_cpu else batch * TIMED_BATCHES  # images through the backbone
    settings = settings.trained.model_copy(update={"weights": "none", "batch_size": batch, "epochs": 2})
    _reset_peak(device)
    with deterministic(threads=1):
        backbone = load_backbone(settings, seed=0).put_on(device)
        shape = feature_shape(backbone, settings.image_size)
        head = make_head(settings, shape, classes, sources.get(settings.head)).to(device)
        pixels = np.random.default_rng(0).integers(0, 256, (count, 1, *[settings.image_size] * 2), dtype=np.uint8)
        loader: Loader = PixelLoader(pixels, backbone.mean, backbone.std, device)
        arithmetic = Arithmetic(device, resolve_precision(settings.precision, device))
        model: nn.Module = Network(backbone, head, arithmetic)
        extracting, trained = 0.0, count
        if frozen:
            extracting = _extraction(backbone, loader, FeatureArrays.empty(count, shape), arithmetic)
            trained = PROBED_VECTORS if settings.is_probe else batch * TIMED_BATCHES
            model, loader, arithmetic = head, _features(head, trained, shape, device), Arithmetic(device, "fp32")
        if settings.is_probe:
            training, scoring = _fit_in_one_go(head, shape, classes, device)
        else:
            rows = np.arange(trained)
            task = Task(torch.arange(trained, device=device) % classes, rows, rows, None, every_epoch=True)
            training, scoring = _timed(model, loader, FitJob(task, settings, 0, lambda *_: None, sources), arithmetic)
    what = settings.head if frozen else settings.trainable
    return Probe(
        network=f"{settings.backbone}, {what} trained, {settings.image_size} px",
        train=training / trained,
        score=scoring / trained,
        extract=extracting / count,
        memory=_peak(device),
        feature_bytes=4 * (int(np.prod(shape)) + 2 * shape[0]) if frozen else 0,
        images=trained,
        machine=machine,
        device=device_name(device),
        day=datetime.now(UTC).date().isoformat(),
    )


def _extraction(backbone: Backbone, loader: Loader, arrays: FeatureArrays, arithmetic: Arithmetic) -> float:
    """The seconds that a frozen backbone takes to extract the features of the images."""
    with all_cores():
        work = partial(extract, backbone, loader, np.arange(len(arrays.maps)), {backbone.layout: arrays}, arithmetic)
        work()
        return _seconds(work, arithmetic.device)


def _fit_in_one_go(head: nn.Module, shape: Shape, classes: int, device: torch.device) -> tuple[float, float]:
    """The seconds in which a probe head learns from random vectors, and in which it scores them."""
    probe_head, where = bare(head), torch.device("cpu") if device.type == "mps" else device
    assert isinstance(probe_head, ProbeHead)
    labels = torch.arange(PROBED_VECTORS, device=where)
    vectors = Vectors(torch.rand(PROBED_VECTORS, shape[0], device=where), labels % classes, torch.ones_like(labels))
    held = labels // classes % HELD_OUT == 0
    with torch.no_grad():
        fit_head = partial(probe_head.to(where).fit, vectors, vectors.where(~held), vectors.where(held))
        return _seconds(fit_head, where), _seconds(partial(probe_head, vectors.features), where)


def _features(head: nn.Module, count: int, shape: Shape, device: torch.device) -> Loader:
    """A loader of random features, as a head reads them."""
    maps = torch.rand(count, *shape)
    moments = torch.stack(moments_of(maps), dim=1)
    return lambda parts: (part_read(head, maps[rows], moments[rows]).to(device) for rows in parts)


def _timed(model: nn.Module, loader: Loader, job: FitJob, arithmetic: Arithmetic) -> tuple[float, float]:
    """The seconds of training and of scoring the images of a job in the second epoch of the training loop."""

    def attempt(micro_batch: int) -> tuple[float, float]:
        ends: list[float] = []
        timed = replace(job, on_epoch=lambda *_: ends.append(time.perf_counter()))
        fit(model, loader, timed, arithmetic, micro_batch)
        score = partial(predict, model, loader, job.task.evaluate, micro_batch)
        scoring = min(_seconds(score, arithmetic.device) for _ in range(2))  # one that was held up hides the training
        return max(ends[1] - ends[0] - scoring, 0.0), scoring

    return within_memory(attempt, job.settings.batch_size)[0]


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # before it CUDA refuses the number of a device
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        # Linux: reset the peak to the current usage
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _peak(device: torch.device) -> int:
    """The peak bytes since the reset: of the GPU, or of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        (line,) = [line for line in lines if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
