"""Synthetic chest radiographs, drawn by a procedure: to try the harness, never for a medical claim.

A phantom patient has a body (size, shape, tilt, exposure) that all its images share. PNEUMONIA adds soft
opacities inside a lung; of other kinds faint ones, or small round nodules. Rotation, exposure, contrast, noise,
rib prominence, vessels and side markers vary without regard to the label, and some NORMAL images carry faint
shadows, so that the classes overlap.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.made_images import made_path, put_in_place
from harness.processes import become_worker
from harness.store import Store
from harness.store.failpoints import failpoint
from harness.store.files import new_folder
from harness.study.data_block import DEFAULT_KIND, Phantom, PhantomKind

PHANTOM_VERSION = 1  # raise it when the drawings change
NOTE = "SYNTHETIC.txt"  # in the folder of the images
SIDE = 160  # pixels
NORMAL_SHARE = 1 / 3.9  # the 1 : 2.9 imbalance of the paper's training set
KINDS: dict[PhantomKind, tuple[float, float]] = {  # of the positive class: how strong and how wide its opacities are
    "opacities": (1.0, 1.0), "faint": (0.4, 1.0), "nodules": (1.0, 0.3),
}  # fmt: skip
Canvas = NDArray[np.float64]


@dataclass(frozen=True)
class _Task:
    """The images of one patient."""

    patient: str
    label: str
    seed: tuple[int, ...]
    images: int
    folder: Path
    kind: PhantomKind = DEFAULT_KIND


def phantom_path(spec: Phantom, store: Store) -> Path:
    """The folder of the phantoms of this number and seed; a temporary one where the store lacks it and is read-only."""
    kind = "" if spec.kind == DEFAULT_KIND else f"-{spec.kind}"
    return made_path(store, f"phantom-v{PHANTOM_VERSION}-{spec.train}-{spec.test}-{spec.seed}{kind}")


def phantom_folder(spec: Phantom, store: Store) -> Path:
    """Return the image folder of the phantoms (train/ and test/); draw them if it does not exist yet."""
    target = phantom_path(spec, store)
    if target.is_dir():
        return target
    with new_folder(target.parent) as folder:
        tasks = [*_tasks(folder / "train", spec.train, spec.seed, 0), *_tasks(folder / "test", spec.test, spec.seed, 1)]
        tasks = [replace(task, kind=spec.kind) for task in tasks]
        for task in tasks:
            task.folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(initializer=become_worker) as pool:
            list(pool.map(_draw_patient, tasks, chunksize=16))
        (folder / NOTE).write_text(f"{__doc__}\n", encoding="utf-8")
        failpoint("phantom.written")
        put_in_place(folder, target)
    return target


def is_phantom(root: Path) -> bool:
    """Whether the images of this folder are phantoms, wherever they were moved: the drawing left a note there."""
    return (root / NOTE).is_file()


def _tasks(folder: Path, images: int, seed: int, split: int) -> list[_Task]:
    """Plan patients with 1 to 4 images each, `images` in total, with the class proportions of NORMAL_SHARE."""
    tasks = []
    for label, count in (
        ("NORMAL", round(images * NORMAL_SHARE)),
        ("PNEUMONIA", images - round(images * NORMAL_SHARE)),
    ):
        rng = np.random.default_rng((seed, split, len(label)))
        number = 0
        while count:
            size = min(count, int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1])))
            patient = f"phantom-{label.lower()}-{split}{number:05d}"
            tasks.append(_Task(patient, label, (seed, split, len(label), number), size, folder / label))
            count -= size
            number += 1
    return tasks


def _draw_patient(task: _Task) -> None:
    for index in range(task.images):
        image = draw(
            task.label == "PNEUMONIA", np.random.default_rng(task.seed), np.random.default_rng((*task.seed, index)),
            task.kind,
        )  # fmt: skip
        Image.fromarray(image).save(task.folder / f"{task.patient}_{index}.png")


def draw(
    opacities: bool, patient: np.random.Generator, view: np.random.Generator, kind: PhantomKind = DEFAULT_KIND
) -> NDArray[np.uint8]:
    """Draw one phantom, [SIDE, SIDE]. patient: decides the anatomy. view: decides what differs between its images."""
    x, y = _grid(view)
    width, height = patient.uniform(0.26, 0.34), patient.uniform(0.52, 0.64)
    heart = patient.uniform(0.24, 0.34)
    body = _soft_ellipse(x, y, (0, 0.4), (patient.uniform(0.86, 0.98), 1.3), 0.03, power=4)
    lungs = np.zeros_like(x)
    for side in (-1, 1):
        centre = (side * patient.uniform(0.36, 0.42), patient.uniform(-0.1, 0.0))
        lungs = np.maximum(lungs, _soft_ellipse(x, y, centre, (width, height), 0.06))
    lungs *= 1 / (1 + np.exp((y - patient.uniform(0.42, 0.52) + 0.12 * np.cos(4 * x)) / 0.03))  # the diaphragm
    heart_shape = _soft_ellipse(x, y, (0.1, 0.28), (heart, 0.3), 0.06)
    lungs *= 1 - 0.85 * heart_shape
    image = body * (0.55 + 0.1 * patient.uniform() + 0.12 * np.exp(-((x / 0.09) ** 2)))  # tissue and spine
    image -= lungs * patient.uniform(0.28, 0.38)
    image += 0.16 * heart_shape
    image += _ribs(x, y, lungs, patient) + _vessels(x, y, lungs, patient)
    strength, width = KINDS[kind] if opacities else KINDS[DEFAULT_KIND]
    image += strength * _shadows(_Place(x, y, lungs, width), opacities, patient, view)
    return _exposed(image, x, view)


def _grid(view: np.random.Generator) -> tuple[Canvas, Canvas]:
    """Coordinates in about [-1, 1], slightly rotated, shifted and scaled."""
    axis = np.linspace(-1, 1, SIDE)
    x, y = np.meshgrid(axis, axis)
    angle, scale = np.deg2rad(view.normal(0, 4)), view.uniform(0.9, 1.1)
    x, y = (x - view.normal(0, 0.05)) / scale, (y - view.normal(0, 0.05)) / scale
    return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


def _soft_ellipse(
    x: Canvas, y: Canvas, centre: tuple[float, float], radii: tuple[float, float], soft: float, power: int = 2
) -> Canvas:
    """1 inside and 0 outside; a power above 2 squares the ellipse."""
    distance = (np.abs((x - centre[0]) / radii[0]) ** power + np.abs((y - centre[1]) / radii[1]) ** power) ** (
        1 / power
    )
    return np.asarray(1 / (1 + np.exp((distance - 1) / soft)))


def _ribs(x: Canvas, y: Canvas, lungs: Canvas, patient: np.random.Generator) -> Canvas:
    """Bright arcs that slope down from the spine."""
    spacing, strength = patient.uniform(0.15, 0.19), patient.uniform(0.04, 0.11)
    phase = (y + 0.35 * np.abs(x) ** 1.5 * patient.uniform(0.8, 1.2)) / spacing
    arcs = np.clip(np.cos(2 * np.pi * phase), 0, 1) ** 3
    clavicle = np.exp(-(((y + 0.62 + 0.18 * np.abs(x)) / 0.03) ** 2)) * (np.abs(x) < 0.75)
    return np.asarray(strength * arcs * (0.35 + 0.65 * lungs) * (np.abs(x) > 0.08) + 1.3 * strength * clavicle)


def _vessels(x: Canvas, y: Canvas, lungs: Canvas, patient: np.random.Generator) -> Canvas:
    """Thin bright branches from each hilum outward."""
    total = np.zeros_like(x)
    for side in (-1, 1):
        for angle in patient.uniform(-1.2, 1.2, size=6):
            along = (x * side - 0.12) * np.cos(angle) + y * np.sin(angle)
            across = -(x * side - 0.12) * np.sin(angle) + y * np.cos(angle)
            total += np.exp(-((across / 0.015) ** 2) - np.clip(along, 0, None) / 0.25) * (along > 0)
    return np.asarray(0.07 * total * lungs)


@dataclass(frozen=True)
class _Place:
    """Where shadows are drawn: coordinates, the lungs, and their width as a share of the usual one."""

    x: Canvas
    y: Canvas
    lungs: Canvas
    width: float


def _shadows(place: _Place, opacities: bool, patient: np.random.Generator, view: np.random.Generator) -> Canvas:
    """Soft patches inside the lungs: distinct ones in pneumonia, sometimes a faint one in a normal image."""
    if opacities:
        count, low, high = int(patient.integers(1, 4)), 0.1, 0.34
    else:
        count, low, high = int(patient.random() < 0.35), 0.03, 0.09
    x, y = place.x, place.y
    total = np.zeros_like(x)
    for _ in range(count):
        side, cy = patient.choice([-1, 1]), patient.uniform(-0.35, 0.35)
        cx, size = side * patient.uniform(0.25, 0.5), patient.uniform(0.1, 0.24)
        patch = np.exp(-(((x - cx) ** 2 + (1.4 * (y - cy)) ** 2) / (place.width * size) ** 2))
        total += patient.uniform(low, high) * view.uniform(0.8, 1.2) * patch
    texture = 1 + 0.35 * np.sin(23 * x + view.uniform(0, 6)) * np.sin(19 * y + view.uniform(0, 6))
    return np.asarray(total * texture * place.lungs)


def _exposed(image: Canvas, x: Canvas, view: np.random.Generator) -> NDArray[np.uint8]:
    """Apply exposure, contrast, a gradient and noise, and add a side marker to some images."""
    image = image * view.uniform(0.85, 1.2) + view.normal(0, 0.05) + view.normal(0, 0.04) * x
    image = np.clip(image, 0, 1) ** view.uniform(0.8, 1.25)
    image = image + view.normal(0, view.uniform(0.01, 0.04), image.shape)
    if view.random() < 0.5:
        image[10:22, 12:15] = image[19:22, 12:20] = 0.95  # the letter L
    return np.asarray(np.clip(image * 255, 0, 255), dtype=np.uint8)
