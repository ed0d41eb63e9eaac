"""A loop as one would write it with torchvision, under its own best settings, beside the harness' own loop."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from tests.bench.figure import Bench, Goal, Row
from tests.bench.gpu.loop import GRAPH, Scale, in_words, no_cuda, time_fit, wait

WORKERS, EPOCHS, BACKBONE = 8, 3, "resnet50"
RATIO, RATIO_GOAL = "plain ImageFolder loop / ours: seconds an image", Goal(">=", 2)
ALONE = "the plain loop without its loader / ours: seconds an image"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Batches = Iterable[tuple[Tensor, Tensor]]


def measure(bench: Bench) -> Iterator[Row] | list[Row]:
    """The loop over ours, with its loader and without."""
    if not torch.cuda.is_available():
        return no_cuda("gpu-rival")
    scale = Scale((BACKBONE,), images=Scale.of(bench).images)
    return rows_of(bench.data / "train", scale, torch.device("cuda"), WORKERS)


def rows_of(folder: Path, scale: Scale, device: torch.device, workers: int) -> Iterator[Row]:
    """Ours on as many random pixels, then the loop on the images of `folder`."""
    (backbone,) = scale.backbones
    ours = time_fit(backbone, GRAPH, scale, device).per_image
    data = datasets.ImageFolder(str(folder), _preprocessing(scale.size))
    loader = DataLoader(
        data, scale.batch, shuffle=True, drop_last=True, num_workers=workers, pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )  # fmt: skip
    with own_best_settings():
        plain = PlainLoop(backbone, device)
        whole = min(plain.seconds_per_image(loader) for _ in range(EPOCHS))  # the first warms up
        batch = next(iter(loader))
        there = [(batch[0].to(device).contiguous(memory_format=torch.channels_last), batch[1].to(device))]
        alone = min(plain.seconds_per_image(there * len(loader)) for _ in range(EPOCHS))
    with Image.open(data.samples[0][0]) as image:
        size = "x".join(map(str, image.size))
    work = (
        f"{in_words(scale, device)}; {backbone}. The loop: {len(data):,} files such as {size} px, {workers} workers on"
        f" {os.cpu_count()} cores, persistent, pinned, bf16 autocast, channels last, fused Adam, cudnn.benchmark, not"
        f" deterministic, no last partial batch, the best of {EPOCHS} epochs: {1 / whole:,.0f} images/s, without its"
        f" loader {1 / alone:,.0f}. Ours: {1 / ours:,.0f}, from pixels that were decoded once, before the first fit"
    )
    parts = {"ours_s": ours, "loop_s": whole, "without_loader_s": alone}
    yield Row(RATIO, whole / ours, f"{work}.", RATIO_GOAL, parts=parts)
    yield Row(ALONE, alone / ours, f"{work}.", parts=parts)


class PlainLoop:
    """timm's network with a new classifier, trained by autocast in bf16."""

    def __init__(self, backbone: str, device: torch.device) -> None:
        model: nn.Module = timm.create_model(backbone, pretrained=False, num_classes=2)
        self._model = model.to(device).to(memory_format=torch.channels_last).train()
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=1e-4, fused=True)
        self._device = device

    def seconds_per_image(self, batches: Batches) -> float:
        """Train an epoch, from its first batch on."""
        seen, started = 0, time.perf_counter()
        for images, labels in batches:
            images = images.to(self._device, non_blocking=True, memory_format=torch.channels_last)
            labels = labels.to(self._device, non_blocking=True)
            with torch.autocast(self._device.type, dtype=torch.bfloat16):
                loss = cross_entropy(self._model(images), labels)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            seen += len(images)
        wait(self._device)
        if not seen:
            raise ValueError("the image folder has less than one batch of images")
        return (time.perf_counter() - started) / seen


@contextmanager
def own_best_settings() -> Iterator[None]:
    """Let torch choose the fastest kernels inside, whether or not they give the same bits twice."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only, benchmark = torch.is_deterministic_algorithms_warn_only_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark


def _preprocessing(size: int) -> transforms.Compose:
    return transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
