"""What a source of images lists: each image with its class, and what is left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import category

import pandas as pd

from harness.data.left_out import LeftOut


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


def as_frame(images: Iterable[FoundImage]) -> pd.DataFrame:
    """The images as a listing has them."""
    rows = [(found.image, found.split, found.label) for found in images]
    return pd.DataFrame(rows, columns=["image", "split", "label"])


def visible_name(label: str) -> str:
    """The name of a class as it looks: without invisible characters, outer and double spaces."""
    return " ".join("".join(character for character in label if category(character) != "Cf").split())
