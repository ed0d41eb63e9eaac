"""What a further image costs, and how much memory a run takes, as a dataset grows tenfold."""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bench.figure import Bench, Goal, Row
from tests.bench.process_use import Used, used

SIDE = 64  # pixels


def measure(bench: Bench) -> list[Row]:
    """The cost of a further image, and the peak of memory, at ten times the images over that at one time."""
    sizes = (60, 600, 6000) if bench.quick else (600, 6000, 60_000)
    taken = {images: _run(bench, images) for images in sizes}
    imports = used(["harness.runner"])
    few, some, many = (taken[images] for images in sizes)
    first, second = ((many.cpu - some.cpu) / (sizes[2] - sizes[1]), (some.cpu - few.cpu) / (sizes[1] - sizes[0]))
    work = (
        f"harness run, a process each, on {', '.join(f'{n:,}' for n in sizes)} SYNTHETIC images of {SIDE} px: hashes,"
        " decoding, audit, two fits of test_resnet at 32 px, one epoch, MLflow, report"
    )
    cpu = {str(n): taken[n].cpu for n in sizes}
    peaks = {str(n): taken[n].peak for n in sizes} | {"imports": imports.peak}
    above = (many.peak - imports.peak) / (some.peak - imports.peak)
    return [
        Row("images: CPU time of a further image at 10x / at 1x", first / second, f"{work}. Further: the difference"
            " between two sizes, so that what does not depend on the images drops out.", Goal("<=", 1.1), parts=cpu),
        Row(f"images: peak memory at {sizes[2]:,} / at {sizes[1]:,} images", many.peak / some.peak, f"{work}.",
            Goal("<=", 1.2), parts=peaks),
        Row("images: the same, of what lies above the imports", above, f"{work}; importing takes"
            f" {imports.peak / 2**20:.0f} MiB.", parts=peaks),
    ]  # fmt: skip


def _run(bench: Bench, images: int) -> Used:
    """What `harness run` takes on so many images."""
    root, study = bench.folder / f"images-{images}", bench.folder / f"growth-{images}.yaml"
    with ProcessPoolExecutor() as pool:
        list(pool.map(_draw, [(root, number, images) for number in range(images)], chunksize=200))
    content = {
        "study": f"growth-{images}",
        "data": {"source": "folder", "path": str(root), "image_size": 32, "patient": r"(?P<patient>\w+)-\d\.\w+$"},
        "folds": {"k": 2},
        "base": {"backbone": "test_resnet", "weights": "none", "epochs": 1},
        "stages": [{"name": "one"}],
    }
    study.write_text(json.dumps(content), encoding="utf-8")  # which is YAML too
    store = str(bench.folder / f"growth-{images}")
    return used(["harness.cli", "run", str(study), "--executor", "inline", "--store", store])


def _draw(task: tuple[Path, int, int]) -> None:
    """One smooth random image: of every ten one in test/, two of each patient, two classes."""
    root, number, images = task
    split = "test" if number >= 0.9 * images else "train"
    folder = root / split / "AB"[number // 2 % 2]
    folder.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(coarse).resize((SIDE, SIDE)).save(folder / f"{split}{number // 2}-{number % 2}.jpeg", quality=80)
