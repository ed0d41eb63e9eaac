"""What a source of images lists: each image with its class, and what is left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from unicodedata import category, normalize

import pandas as pd

from harness.data.left_out import MAX_EXAMPLES, LeftOut
from harness.errors import DataError, printable

IN_SPLITS, FLAT = 2, 1  # the folders above an image, up to that of its class: SPLIT/CLASS/*, CLASS/*


@dataclass(frozen=True)
class FoundImage:
    """A file with the extension of an image. image: its path below the image folder. label: its class."""

    image: str
    split: str
    label: str


@dataclass(frozen=True)
class Listing:
    """The images of a source, and what it leaves out.

    images: a row each with image (the path below the root), split and label; of a table also row, and, where the study
    names them, patient, fold and the metadata.
    """

    images: pd.DataFrame
    left_out: tuple[LeftOut, ...]
    depth: int = 0  # the parts of a path up to the class folder, which may be a link


def as_frame(images: Iterable[FoundImage]) -> pd.DataFrame:
    """The images as a listing has them."""
    rows = [(found.image, found.split, found.label) for found in images]
    return pd.DataFrame(rows, columns=["image", "split", "label"])


def renamed(listing: Listing, labels: Mapping[str, str]) -> Listing:
    """Give the labels their classes, and leave out images of other labels. Raises DataError for one that none has."""
    names = {normalize("NFC", label): normalize("NFC", name) for label, name in labels.items()}
    images, there = listing.images, sorted(set(listing.images["label"]))
    for label, given in zip(names, labels, strict=True):
        if label not in there:
            raise DataError(
                f"no image has the label {label!r}; there are {', '.join(map(printable, there))}",
                ("data", "labels", given),
            )
    known = images["label"].isin(names)
    lost, kept = images[~known], images[known].reset_index(drop=True)
    parts = tuple(f"{printable(str(label))}: {count:,}" for label, count in lost["label"].value_counts().items())
    left = [LeftOut("labels", len(lost), tuple(lost["image"][:MAX_EXAMPLES]), parts)] if len(lost) else []
    return replace(listing, images=kept.assign(label=kept["label"].map(names)), left_out=(*listing.left_out, *left))


def visible_name(label: str) -> str:
    """The name of a class as it looks: without invisible characters, outer and double spaces."""
    return " ".join("".join(character for character in label if category(character) != "Cf").split())
