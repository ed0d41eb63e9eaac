"""Row 9 of the table of promises: one bad image of each kind among the good ones."""

import importlib
import io
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.kills import tree
from tests.faults.rig import RUN, Ended, Rig

SMALL = ("--set", "stages=[{name: grid}]", "--set", "test=null", "--set", "folds.k=2", "--set", "base.epochs=1")
IMAGES = ("--set", "data.source=folder", "--set", "data.patient=phantom", "--data", "images")
SKIP = ("--set", "data.on_bad_image=skip")


@dataclass(frozen=True)
class Kind:
    """How a file is spoilt, and what is said of it; nothing where it is read all the same."""

    spoil: Callable[[Path], object]
    told: str = ""


def png(width: int, height: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG file that says it is so large, and holds no pixels. more: chunks with their names."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), *more, (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def _link_out(path: Path) -> None:
    outside = path.parents[3] / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)


def _cmyk(path: Path) -> None:
    """The same picture in the inks of a printer, with a name that promises otherwise."""
    content = io.BytesIO()
    Image.open(path).convert("CMYK").save(content, "TIFF")
    path.write_bytes(content.getvalue())


def _sixteen_bits(path: Path) -> None:
    pixels = np.asarray(Image.open(path).convert("L"), dtype=np.uint16)
    Image.fromarray(pixels * 257).save(path)


KINDS = {
    "empty": Kind(lambda path: path.write_bytes(b""), "not an image that Pillow reads"),
    "text": Kind(lambda path: path.write_text("this is text"), "not an image that Pillow reads"),
    "cut by two bytes": Kind(lambda path: path.write_bytes(path.read_bytes()[:-2]), "truncated"),
    "bomb": Kind(lambda path: path.write_bytes(png(60_000, 60_000)), "pixels"),
    "half a bomb": Kind(lambda path: path.write_bytes(png(12_000, 10_000)), "more than Pillow's safe limit"),
    "link out of the tree": Kind(_link_out, "a link out of the image folder"),
    "float pixels": Kind(lambda path: Image.fromarray(np.ones((32, 32), np.float32)).save(path, "TIFF"), "floats"),
    "CMYK": Kind(_cmyk),
    "16 bits": Kind(_sixteen_bits),
}


def first_image(root: Path) -> Path:
    """The image that is spoilt."""
    return min((root / "train").rglob("*.*"))


def bad_image(rig: Rig, name: str) -> int:
    """A run that is refused and leaves nothing behind; then one that leaves the image out, and says so."""
    folder, image = with_images(rig)
    kind = KINDS[name]
    kind.spoil(image)
    before = tree(folder / "images")
    if not kind.told:
        assert rig.run(folder, *RUN, *IMAGES, *SMALL).code == 0
        assert _predicted(folder, image)
        return 1
    _refused(rig.run(folder, *RUN, *IMAGES, *SMALL), image, kind.told)
    assert not (folder / "mlruns").exists()
    assert tree(folder / "images") == before
    for _ in range(2):  # the second one knows which images are bad
        ended = rig.run(folder, *RUN, *IMAGES, *SMALL, *SKIP)
        assert ended.code == 0, ended
    assert not _predicted(folder, image)
    report = (folder / "mlruns/reports/faults/report.md").read_text()
    inside = str(image.relative_to(folder / "images"))
    assert f"1 of 48 images cannot be read: {inside} (" in report
    return 1


def with_images(rig: Rig) -> tuple[Path, Path]:
    """A folder with the study and a copy of its images, and the image that is to be spoilt."""
    folder = rig.empty()
    (drawn,) = (rig.reference / "mlruns/data").iterdir()
    shutil.copytree(drawn, folder / "images")
    return folder, first_image(folder / "images")


def _refused(ended: Ended, image: Path, told: str) -> None:
    assert (ended.code, ended.out) == (2, ""), ended
    (last,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert "1 of 48 images cannot be read: " in last
    assert f"{image} (" in last
    assert told in last
    assert "Traceback" not in ended.err
    assert "Warning" not in ended.err


def _predicted(folder: Path, image: Path) -> bool:
    """Whether the results of the store know the image."""
    import pandas as pd

    name = str(image.relative_to(folder / "images"))
    jobs = [pd.read_parquet(path) for path in (folder / "mlruns/jobs").glob("*/predictions.parquet")]
    assert sum(map(len, jobs)) >= 35  # each training image once
    return any((frame["image"] == name).any() for frame in jobs)


def changing() -> None:
    """Has an image change once it stands in the manifest, before it is decoded."""
    module: Any = importlib.import_module("harness.prepare")
    read = module.read_dataset

    def then_change(root: Path, *arguments: Any) -> Any:
        dataset = read(root, *arguments)
        image = first_image(root)
        Image.fromarray(np.full((32, 32), 7, np.uint8)).save(image)
        return dataset

    module.read_dataset = then_change


def changed_image(rig: Rig) -> int:
    """An image that changes while the command starts is named; the next command takes it as it is now."""
    folder, image = with_images(rig)
    _refused(rig.run(folder, *RUN, *IMAGES, *SMALL, before=changing), image, "it has changed since the command started")
    assert not (folder / "mlruns").exists()
    assert rig.run(folder, *RUN, *IMAGES, *SMALL).code == 0
    return 1
