"""Labels of training images that a reader has corrected: a table beside the images, which stay as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import pandas as pd

from harness.data.table_file import read_rows
from harness.errors import DataError, printable
from harness.study.messages import unknown
from harness.study.number_words import first_of

FIELD = ("data", "corrections")
IMAGE, LABEL, CORRECTED = "image", "label", "corrected_label"  # the columns that are read; `label` may be missing
MAX_PAIRS = 6  # in a line


class Correction(NamedTuple):
    """A training image whose label was corrected."""

    image: str
    given: str
    corrected: str


def corrected(images: pd.DataFrame, file: str) -> tuple[pd.DataFrame, tuple[Correction, ...]]:
    """The images with their labels corrected as the table says, and what was changed, in the order of the table.

    images: of a manifest, with their splits. A row without a corrected label changes nothing.

    Raises DataError, naming the row, for an image that is not there or not in training, for a class that is not there,
    and for a label that the image does not have.
    """
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{printable(file)} is not there; name a table with the columns {IMAGE}, {CORRECTED}", FIELD)
    rows = read_rows(path)
    missing = [name for name in (IMAGE, CORRECTED) if name not in rows]
    if missing:
        raise DataError(f"{printable(path.name)} has no column {missing[0]}; `harness labels` writes one", FIELD)
    filled = rows[rows[CORRECTED].notna()]
    split, labels = (dict(zip(images["image"], images[name], strict=True)) for name in ("split", "label"))
    classes = sorted(set(images.loc[images["split"] == "train", "label"]))
    found: dict[str, Correction] = {}
    for row, image, label, given in zip(filled.index, filled[IMAGE], filled[CORRECTED], _given(filled), strict=True):
        label = normalize("NFC", str(label).strip())
        problem = _problem(image, split, label, classes) or _other(given, labels[image], image, found)
        if problem:
            raise DataError(f"{printable(path.name)}, row {row}: {problem}", FIELD)
        found[image] = Correction(image, labels[image], label)
    changed = tuple(each for each in found.values() if each.given != each.corrected)
    new = {each.image: each.corrected for each in changed}
    return images.assign(label=[new.get(*pair) for pair in zip(images["image"], images["label"], strict=True)]), changed


def _given(rows: pd.DataFrame) -> Sequence[object]:
    """The label that each row says was corrected; missing where the table does not say it."""
    return rows[LABEL].tolist() if LABEL in rows else [None] * len(rows)


def _problem(image: object, split: dict[str, str], label: str, classes: list[str]) -> str | None:
    """What is wrong with an image or its new class."""
    if image not in split:
        return (
            f"the study has no image {printable(str(image))}; paths are those of its manifest, as in `harness labels`"
        )
    if split[str(image)] != "train":
        return f"{printable(str(image))} is a test image; labels of training images alone are corrected"
    return None if label in classes else unknown("class", label, classes)


def _other(given: object, label: str, image: str, found: dict[str, Correction]) -> str | None:
    """What contradicts the labels of the images, or an earlier row."""
    if isinstance(given, str) and normalize("NFC", given.strip()) != label:
        return f"{printable(image)} has the label {label!r}, not {given!r}: is this file of other images?"
    return f"{printable(image)} is in the table twice; keep one row" if image in found else None


def pairs(changed: Sequence[Correction]) -> str:
    """What was corrected to what, with counts: `NORMAL to PNEUMONIA: 3, ...`."""
    counts = pd.Series([f"{each.given} to {each.corrected}" for each in changed]).value_counts()
    return first_of([f"{pair}: {count:,}" for pair, count in counts.items()], MAX_PAIRS)
