"""What it takes to plan a study of a large table: every row read and checked, every file hashed, folds made."""

import csv
import hashlib
import json
import time
from pathlib import Path

from tests.bench.figure import Bench, Goal, Row
from tests.bench.process_use import used

ROWS = 1_000_000
QUICK_ROWS = 20_000
A_FOLDER = 1000  # images
A_PATIENT = 3  # images
GIB = 2**30


def measure(bench: Bench) -> list[Row]:
    """The time of a plan over that of reading and hashing its files one after the other, and the peak of its memory."""
    count = QUICK_ROWS if bench.quick else ROWS
    table = _drawn(bench.folder / "table", count)
    study = bench.folder / "table.yaml"
    content = {
        "study": "table",
        "data": {
            "source": "table", "path": str(table), "image_size": 32, "metadata": ["site", "age"],
            "columns": {"image": "image", "label": "label", "patient": "patient", "split": "split"},
        },
        "base": {"backbone": "test_resnet", "weights": "none", "trainable": "head", "epochs": 1},
        "stages": [{"name": "one"}],
    }  # fmt: skip
    study.write_text(json.dumps(content), encoding="utf-8")  # which is YAML too
    started = time.perf_counter()
    _hash_all(table.parent)
    hashing, started = time.perf_counter() - started, time.perf_counter()
    plan = used(["harness.cli", "plan", str(study), "--store", str(bench.folder / "table-store")])
    took = time.perf_counter() - started
    what = f"harness plan, a process, of a table of {count:,} SYNTHETIC images of {A_PATIENT} a patient, 28 bytes each"
    seconds = {"plan": took, "hashing": hashing}
    return [
        Row(f"tables: a plan of {count:,} rows / hashing its files one after the other", took / hashing,
            f"{what}; the plan hashes them as well.", Goal("<=", 3), parts=seconds),
        Row(f"tables: peak memory of that plan, GiB, {count:,} rows", plan.peak / GIB, f"{what}.", Goal("<=", 4)),
    ]  # fmt: skip


def _drawn(folder: Path, count: int) -> Path:
    """Write the images and their table, and return its path: one in ten is tested, four sites, two classes."""
    for start in range(0, count, A_FOLDER):
        (folder / f"{start // A_FOLDER:04}").mkdir(parents=True)
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "patient", "split", "site", "age"])
        for number in range(count):
            patient, image = number // A_PATIENT, f"{number // A_FOLDER:04}/{number:07}.pgm"
            pixels = number.to_bytes(4, "big") + bytes((7 * number + 13 * place) % 256 for place in range(12))
            (folder / image).write_bytes(b"P5\n4 4\n255\n" + pixels)
            split, label = ("test" if patient % 10 == 0 else "train"), ("ill" if patient // 3 % 4 == 0 else "well")
            rows.writerow([image, label, f"{patient:06}", split, "NESW"[patient // 3 % 4], 20 + patient % 60])
    return folder / "cases.csv"


def _hash_all(folder: Path) -> list[str]:
    """The loop that one would write."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*/*.pgm"))]
