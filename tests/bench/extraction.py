"""How near the extraction of features comes to its limit: the convolutions alone, at the same shapes."""

import copy
import json

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.pixels import open_pixels, pixel_cache
from harness.models.backbone import Backbone, load_backbone
from harness.prepare import prepare
from harness.training.allocator import held_memory
from harness.training.device import Arithmetic
from harness.training.extract import IMAGES_AT_A_TIME_ON_CPU
from harness.training.features import FrozenBackbone, frozen_features
from harness.training.loaders import PixelLoader
from tests.bench.figure import Bench, Goal, Row, in_turns, ratio


def measure(bench: Bench) -> list[Row]:
    """The roof over the extraction, in fp32 and bf16: 1 where everything but the convolutions were free."""
    size, (images, rounds) = (
        IMAGES_AT_A_TIME_ON_CPU,
        (4 * IMAGES_AT_A_TIME_ON_CPU, 2) if bench.quick else (8 * IMAGES_AT_A_TIME_ON_CPU, 3),
    )
    store = bench.store("extraction")
    study = bench.study("extraction", images + 64, [{"name": "one"}])
    settings = study.base.resolved(150)
    pixels = pixel_cache(prepare(study, store).inputs.dataset, 150, store)
    backbone, rows, cpu = load_backbone(settings, 0), np.arange(images), torch.device("cpu")
    (batch,) = PixelLoader(open_pixels(pixels), backbone.mean, backbone.std, cpu)([rows[:size]])
    found = []
    for precision, goal in (("fp32", 0.7), ("bf16", 0.8)):
        roof = _convolutions(backbone, batch, torch.bfloat16 if precision == "bf16" else torch.float32)

        def convolve(roof: list[tuple[nn.Conv2d, Tensor]] = roof) -> None:
            with torch.inference_mode(), held_memory():
                for _ in range(images // size):
                    for convolution, inputs in roof:
                        convolution(inputs)

        def extract(precision: str = precision) -> None:
            folder = bench.folder / "features" / str(len(list((bench.folder / "features").glob("*"))))
            frozen = FrozenBackbone(settings, "bench", lambda: backbone)
            (file,) = frozen_features(frozen, pixels, rows, folder, Arithmetic(cpu, precision)).files
            assert json.loads((file.maps.parent / "about.json").read_text(encoding="utf-8"))["passes"] == images

        extract()
        times = in_turns({"roof": convolve, "extraction": extract}, rounds)
        work = (
            f"{bench.backbone}, {images} images at 150 px, {torch.get_num_threads()} threads, batches of"
            f" {size}, {precision}: pixels read, normalised, through the backbone, maps and moments written to disk."
            " Roof: its convolutions alone, channels last, on inputs that lie ready."
        )
        found.append(
            ratio(f"convolution roof / extraction, {precision}", times["roof"], times["extraction"],
                  Goal(">=", goal), work, images_per_second=images / min(times["extraction"]))
        )  # fmt: skip
    return found


def _convolutions(backbone: Backbone, images: Tensor, kind: torch.dtype) -> list[tuple[nn.Conv2d, Tensor]]:
    """Every convolution of the backbone with an input of the shape that it gets for these images."""
    backbone.to(memory_format=torch.channels_last).eval()
    found: list[tuple[nn.Conv2d, torch.Size]] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], _result: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        found.append((module, given[0].shape))

    hooks = [m.register_forward_hook(note) for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        backbone(images)
    for hook in hooks:
        hook.remove()
    return [
        (copy.deepcopy(module).to(kind), torch.randn(shape).to(kind, memory_format=torch.channels_last))
        for module, shape in found  # copied without their hooks
    ]
