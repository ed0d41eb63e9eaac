"""Decoding: the images per second of the pixel cache, against the loop that an ImageFolder runs."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from harness.data.dataset import Dataset
from harness.data.decode import Pixels
from harness.data.pixels import open_pixels, pixel_cache
from harness.prepare import prepare
from tests.bench.figure import Bench, Goal, Row, in_turns, ratio

SIZE = 150


def measure(bench: Bench) -> list[Row]:
    """A Pillow loop over the cache build, by wall and by CPU time, and the pixels in which they differ."""
    images, rounds = (300, 1) if bench.quick else (2000, 5)
    dataset = prepare(bench.study("decode", images, [{"name": "one"}]), bench.store("decode")).inputs.dataset
    files = [dataset.root / image for image in dataset.table["image"]]
    builds: list[Path] = []
    cpu: dict[str, list[float]] = {"loop": [], "build": []}

    def timed(name: str, way: object) -> None:
        started = time.process_time()
        assert callable(way)
        way()
        cpu[name].append(time.process_time() - started)

    def build() -> None:
        builds.append(pixel_cache(dataset, SIZE, bench.store(f"decode-{len(builds)}")))

    def loop() -> None:
        for file in files:
            _plain(file)

    times = in_turns({"loop": lambda: timed("loop", loop), "build": lambda: timed("build", build)}, rounds)
    work = (
        f"{len(files)} images to {SIZE} px. The loop: Image.open, convert RGB, bilinear resize, one image after the"
        " other; ours: the same pixels, gray ones kept as one channel, by threads, written to disk"
    )
    share = _share_that_differs(dataset, open_pixels(builds[0]))
    return [
        ratio("decode: Pillow loop / cache build, wall", times["loop"], times["build"], Goal(">=", 2), f"{work}."),
        ratio("decode: Pillow loop / cache build, CPU time", cpu["loop"], cpu["build"], None, f"{work}."),
        Row("decode: share of pixels that differ from the loop's", share, "Every pixel of every image.", Goal("==", 0)),
    ]


def _plain(file: Path) -> Pixels:
    """[SIZE, SIZE, 3], as torchvision's ImageFolder and Resize give it."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _share_that_differs(dataset: Dataset, pixels: Pixels) -> float:
    differ = [
        (_plain(dataset.root / image).transpose(2, 0, 1) != ours).mean()
        for image, ours in zip(dataset.table["image"], pixels, strict=True)
    ]
    return float(np.mean(differ))
