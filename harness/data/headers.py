"""Findings about image files: their sizes and modes, transparent pixels, frames that are not read."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from harness.data.dataset import Dataset
from harness.data.decode import Progress, is_transparent
from harness.data.dicom import MAGIC_END, dicom_header, is_dicom
from harness.data.finding import AuditFinding, counted
from harness.data.groupings import differing_shares
from harness.study.number_words import verb


def headers(dataset: Dataset, progress: Progress = lambda *_: None) -> pd.DataFrame:
    """Read the header of every image: width, height, mode, whether it has several frames or transparent pixels."""
    files = dataset.files
    rows = []
    with ThreadPoolExecutor() as pool:
        for row in pool.map(header, files):
            rows.append(row)
            progress(len(rows), len(files))
    return pd.DataFrame(rows, columns=["width", "height", "mode", "frames", "transparent"])


def header(file: Path) -> tuple[int, int, str, bool, bool]:
    """The width, the height, the mode, whether there are several frames, and whether any pixel is transparent."""
    with file.open("rb") as content:
        dicom = is_dicom(content.read(MAGIC_END))
    if dicom:
        return (*dicom_header(file), False)
    with Image.open(file) as opened:
        mode = opened.mode  # loading the pixels may change it
        frames = opened.format != "PSD" and getattr(opened, "is_animated", False)  # PSD: the first has all layers
        if opened.has_transparency_data:
            opened.load()
        return opened.width, opened.height, mode, frames, is_transparent(opened)


def file_findings(dataset: Dataset, found: pd.DataFrame) -> Iterator[AuditFinding]:
    """Find what is unusual in the headers."""
    yield from _sizes(found)
    yield from _differences(dataset, "mode", found["mode"])
    yield from _differences(dataset, "size", _size_words(found))
    read = f"number {dataset.pixel_rules.frame}" if dataset.pixel_rules.frame else "the first"
    for name, column, words in (
        ("transparency", "transparent", "with transparent pixels, which are composited on white"),
        ("frames", "frames", f"with several frames or pages, of which only {read} is read"),
    ):
        rows = np.flatnonzero(found[column])
        if len(rows):
            text, facts = counted(dataset, rows)
            yield AuditFinding(name, "note", f"{text}, {words}", facts)


def _sizes(found: pd.DataFrame) -> Iterator[AuditFinding]:
    sizes = _size_words(found).value_counts()
    modes = found["mode"].value_counts()
    most = f"{sizes.index[0]} ({sizes.iloc[0]:,})"
    words = f"{len(sizes):,} image sizes, most often {most}" if len(sizes) > 1 else f"1 image size, {most}"
    text = f"{words}; {verb(len(modes), 'mode', 'modes')} {', '.join(modes.index)}"
    facts = {"sizes": len(sizes), "commonest": sizes.head(5).to_dict(), "modes": modes.to_dict()}
    yield AuditFinding("sizes", "note", text, facts)


def _size_words(found: pd.DataFrame) -> pd.Series:
    """The size of each image: `640 x 480`."""
    return found["width"].astype(str) + " x " + found["height"].astype(str)


def _differences(dataset: Dataset, name: str, values: pd.Series) -> Iterator[AuditFinding]:
    """Find groups of images that differ in the proportion of the commonest mode or size. name: which of the two."""
    commonest = values.value_counts().index[0]
    what = f"the {name} {commonest} differs"
    yield from differing_shares(dataset, f"{name}s", what, (values == commonest).to_numpy())
