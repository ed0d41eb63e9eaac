"""The harness' own training loop on random pixels that lie on the device, and how it is timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import numpy as np
import torch

from harness.models.heads import make_head
from harness.store.results import Metrics
from harness.study.settings import ResolvedSettings
from harness.training.device import Arithmetic, make_deterministic, resolve_precision
from harness.training.fit import fit
from harness.training.fit_history import Fitted
from harness.training.loaders import PixelLoader
from harness.training.network import Compiled, Network, Quicker, fresh_backbone
from harness.training.task import FitJob, Task
from tests.bench.figure import Bench, Row

EAGER_STEPS = 10  # of a timed epoch where none is captured: those are slow, and one times as well as another
AfterEpoch = Callable[[int, Metrics], None]  # the number of an epoch, from 1, and its metrics


@dataclass(frozen=True)
class Scale:
    """What is trained. images: of an epoch, whole batches. epochs: of a timed fit, four or more."""

    backbones: tuple[str, ...] = ("resnet50", "resnet152")
    size: int = 150
    batch: int = 64
    images: int = 3200
    epochs: int = 6

    @staticmethod
    def of(bench: Bench) -> "Scale":
        """The whole scale, or the small one of a quick bench."""
        return Scale(images=640) if bench.quick else Scale()


@dataclass(frozen=True)
class Way:
    """How a step is run. capture: as one CUDA graph. fused: by the kernels of the harness.

    One by one, from Python, these are launched more slowly than torch's: eager steps do without.
    """

    name: str
    capture: bool
    compiled: bool
    fused: bool = True


EAGER, GRAPH = Way("eager", False, False, fused=False), Way("one graph a step", True, False)
UNFUSED = Way("one graph a step, torch's kernels", True, False, False)
COMPILED, BOTH = Way("compiled", False, True), Way("compiled, one graph a step", True, True)


@dataclass(frozen=True)
class Timed:
    """The epochs of a fit, in seconds. first: with all that is done once, such as compiling."""

    first: float
    epochs: list[float]
    images: int  # of an epoch

    @property
    def per_image(self) -> float:
        """Seconds, the median over the epochs."""
        return median(self.epochs) / self.images

    @property
    def once(self) -> float:
        """What the first epoch took longer than the others."""
        return max(0.0, self.first - median(self.epochs))

    def row(self, name: str, work: str, batch: int) -> Row:
        """Images a second."""
        rates = [self.images / seconds for seconds in self.epochs]
        return Row(
            name, 1 / self.per_image, f"{work}; {1e3 * batch * self.per_image:.2f} ms a step, {self.once:.1f} s once.",
            None, len(rates), min(rates), max(rates), {"first_s": self.first, "epochs_s": self.epochs},
        )  # fmt: skip


def time_fit(backbone: str, way: Way, scale: Scale, device: torch.device) -> Timed:
    """Time a fit. The first epoch, in which kernels are made, and the last, which ends with a scoring, are left out."""
    ends: list[float] = []
    if not way.capture:
        scale = replace(scale, images=min(scale.images, EAGER_STEPS * scale.batch))
    run = prepare_fit(backbone, way, scale, device)
    began = time.perf_counter()
    run(lambda *_: ends.append(time.perf_counter()), scale.epochs)
    epochs = [after - before for before, after in pairwise(ends[:-1])]
    return Timed(ends[0] - began, epochs, scale.images)


def prepare_fit(backbone: str, way: Way, scale: Scale, device: torch.device) -> Callable[[AfterEpoch, int], None]:
    """Make the network and its pixels; return what trains it for some epochs and calls back after each.

    That raises RuntimeError, with the reason, where steps should have been captured and were not.
    """
    make_deterministic(torch.get_num_threads())
    settings = ResolvedSettings(
        backbone=backbone, weights="none", image_size=scale.size, batch_size=scale.batch, precision="auto"
    )
    start = fresh_backbone(settings, "none", 0, device)
    head = make_head(settings, start.shape, 2).to(device)
    arithmetic = Arithmetic(device, resolve_precision("auto", device), way.capture, way.fused)
    compiled = Compiled(start.compiled, scale.batch) if way.compiled else None
    network = Network(start.backbone, head, arithmetic, Quicker(compiled, start.fused, start.not_fused))
    rows = np.arange(scale.images)
    task = Task(torch.from_numpy(rows % 2).to(device), rows, rows[: scale.batch], 1, every_epoch=False)
    loader = random_pixels(scale, device)

    def run(after_epoch: AfterEpoch, epochs: int) -> None:
        job = FitJob(task, settings.model_copy(update={"epochs": epochs}), 0, after_epoch)
        _require_captured(fit(network, loader, job, arithmetic), way, device)

    return run


def _require_captured(fitted: Fitted, way: Way, device: torch.device) -> None:
    if way.capture and device.type == "cuda" and not fitted.captured:
        raise RuntimeError(f"no step was captured: {'; '.join(fitted.fallbacks) or 'too few steps'}")


def random_pixels(scale: Scale, device: torch.device) -> PixelLoader:
    """The loader of gray noise."""
    shape = (scale.images, 1, scale.size, scale.size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return PixelLoader(pixels, (0.5,) * 3, (0.25,) * 3, device)


def in_words(scale: Scale, device: torch.device) -> str:
    """The device and the network's input."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    precision = resolve_precision("auto", device)
    return f"{name}, {precision}, channels last, deterministic, {scale.size} px, batch {scale.batch}"


def no_cuda(figure: str) -> list[Row]:
    """The row of a figure on a machine without CUDA."""
    return [Row(figure, None, "no CUDA device")]


def wait(device: torch.device) -> None:
    """Let the device end what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
