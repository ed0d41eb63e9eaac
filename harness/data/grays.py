"""What the gray levels tell: images that are blank, almost black or inverted."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.duplicates import Thumbnails
from harness.data.finding import Finding, counted
from harness.data.manifest import Dataset, Rows
from harness.data.survey import Survey

BLANK = 3  # gray levels between the darkest and the brightest pixel of a blank image, at most
DARK = 63  # the brightest pixel of an image of 16 bits, at most, where its values have 14 bits or fewer
ALIKE = 0.5  # the median correlation with their mean from which images of a class have one look
INVERTED = -0.4  # the correlation with it below which an image has the opposite look; see `inverted`
PERCENTILES = (1, 50, 99)


def gray_findings(dataset: Dataset, seen: Survey, modes: pd.Series) -> Iterator[Finding]:
    """What the gray levels tell. modes: those of the files."""
    yield from _ranges(dataset, seen.levels)
    sixteen = modes.str.startswith("I").to_numpy()
    turned, negative = inverted(seen.thumbnails, dataset.labels)
    for name, rows, words in (
        ("blank", np.flatnonzero(is_blank(seen)), f"are blank: their gray levels differ by {BLANK} at most"),
        (
            "dark-16-bit",
            np.flatnonzero(sixteen & (seen.brightest <= DARK)),
            f"have 16 bits and use few of them, so that no gray level is above {DARK} of 255; scale their values,"
            " of 12 bits perhaps, to the whole range",
        ),
        ("inverted", turned, "look inverted, like the negative of the mean image of their class"),
    ):
        if len(rows):
            text, facts = counted(dataset, rows)
            yield Finding(name, "warning", f"{text}, {words}", facts)
    for one, other in negative:
        names = dataset.classes[one], dataset.classes[other]
        text = f"the mean image of {names[0]} looks like the negative of that of {names[1]}; is one class inverted?"
        yield Finding("inverted-classes", "warning", text, {"classes": list(names)})


def is_blank(seen: Survey) -> NDArray[np.bool_]:
    """Which images show nothing: [n]."""
    return np.asarray(seen.spread <= BLANK)


def _ranges(dataset: Dataset, levels: NDArray[np.int64]) -> Iterator[Finding]:
    for name, counts in zip(dataset.classes, levels, strict=True):
        below = np.cumsum(counts) / counts.sum()
        low, middle, high = (int(np.searchsorted(below, share / 100)) for share in PERCENTILES)
        used = np.flatnonzero(counts)
        facts = {"class": name, "lowest": int(used[0]), "highest": int(used[-1]), "percentiles": [low, middle, high]}
        text = (
            f"{name}: gray levels {used[0]} to {used[-1]} of 0 to 255; 1 % of pixels up to {low}, half up to {middle},"
            f" 99 % up to {high}"
        )
        yield Finding("gray-levels", "note", text, facts)


def inverted(thumbnails: Thumbnails, labels: Rows) -> tuple[Rows, list[tuple[int, int]]]:
    """The rows that look like the negative of their class, and the pairs of classes that do of each other.

    Each thumbnail is correlated with the mean one of its class, where most images of that class are like it. On 5,840
    chest radiographs, which have 0.25 to 0.98, no one is below -0.4, and of inverted ones among them 99.5 % are.
    """
    flat = thumbnails.reshape(len(thumbnails), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    rows, looks = [np.empty(0, dtype=np.int64)], dict[int, NDArray[np.float32]]()
    for label in np.unique(labels).tolist():
        of_class = np.flatnonzero(labels == label)
        mean = flat[of_class].mean(axis=0)
        mean /= max(float(np.linalg.norm(mean)), 1e-6)
        alike = flat[of_class] @ mean
        if np.median(alike) > ALIKE:
            looks[label] = mean
            rows.append(of_class[alike < INVERTED])
    pairs = [(one, other) for one in looks for other in looks if one < other and looks[one] @ looks[other] < INVERTED]
    return np.sort(np.concatenate(rows)), pairs
