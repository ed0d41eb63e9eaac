"""Findings about gray levels: images that are blank, almost black, flat, inverted or have constant borders."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import Dataset, Rows
from harness.data.duplicates import Thumbnails
from harness.data.finding import AuditFinding, counted
from harness.data.groupings import differing_shares, groupings
from harness.data.survey import MAX_BLANK_SPREAD, Survey

DEEP_MODES = ("I", "F", "MONOCHROME")  # of files that may have more than 8 bits
MAX_DARK_LEVEL = 63  # the brightest pixel of a 16-bit image whose values have 14 bits or fewer
MIN_CLASS_CORRELATION = 0.5  # the median correlation of a class with its mean image, where its images look alike
MAX_INVERTED_CORRELATION = -0.4  # of an inverted image with the mean image of its class; see `inverted`
MIN_BORDER = 0.1  # of the area; narrower constant borders are not counted
MAX_LEVEL_DIFFERENCE = 0.8  # between groups, in their mean gray level: a large effect (Cohen 1988), in SD of images
LEAST_IMAGES = 20  # of a group whose mean gray level is compared
PERCENTILES = (1, 50, 99)


def gray_findings(dataset: Dataset, seen: Survey, modes: pd.Series) -> Iterator[AuditFinding]:
    """Find unusual gray levels. modes: of the image files, as Pillow names them."""
    yield from _ranges(dataset, seen.levels)
    yield from _levels(dataset, seen.thumbnails.mean(axis=(1, 2)))
    deep = modes.str.startswith(DEEP_MODES).to_numpy() & ~modes.str.endswith(" 8 bits").to_numpy()
    dark, blank = seen.brightest <= MAX_DARK_LEVEL, is_blank(seen)
    turned, negative = inverted(seen.thumbnails, dataset.labels)
    for name, rows, words in (
        ("blank", np.flatnonzero(blank), f"blank: gray levels that differ by at most {MAX_BLANK_SPREAD}"),
        (
            "dark-16-bit",
            np.flatnonzero(deep & dark),
            f"of 16 bits of which few are used: no gray level is above {MAX_DARK_LEVEL} of 255; declare the"
            " range of the values (perhaps of 12 bits) in data.window, or scale them to the whole range",
        ),
        (
            "few-levels",
            np.flatnonzero(deep & ~dark & ~blank & (seen.spread <= MAX_DARK_LEVEL)),
            f"of more than 8 bits, with gray levels that differ by at most {MAX_DARK_LEVEL} of 255; declare the range"
            " of the values in data.window",
        ),
        ("inverted", turned, "like the negative of the mean image of the class: probably inverted"),
    ):
        if len(rows):
            text, facts = counted(dataset, rows)
            yield AuditFinding(name, "warning", f"{text}, {words}", facts)
    for one, other in negative:
        names = dataset.classes[one], dataset.classes[other]
        text = f"the mean image of {names[0]} looks like the negative of that of {names[1]}; is one class inverted?"
        yield AuditFinding("inverted-classes", "warning", text, {"classes": list(names)})
    yield from _borders(dataset, np.where(blank, 0, seen.borders))


def _borders(dataset: Dataset, shares: NDArray[np.float64]) -> Iterator[AuditFinding]:
    """Find constant borders, the widest first. shares: of the area of each image."""
    rows = np.flatnonzero(shares >= MIN_BORDER)
    if not len(rows):
        return
    text, facts = counted(dataset, rows[np.argsort(-shares[rows], kind="stable")])
    words = f"with constant borders of {MIN_BORDER:.0%} of the area or more, at most {shares.max():.0%}"
    yield AuditFinding("borders", "note", f"{text}, {words}", facts)
    yield from differing_shares(dataset, "borders", "constant borders differ", shares >= MIN_BORDER)


def is_blank(seen: Survey) -> NDArray[np.bool_]:
    """Whether each image is blank: [n]."""
    return np.asarray(seen.spread <= MAX_BLANK_SPREAD)


def _ranges(dataset: Dataset, levels: NDArray[np.int64]) -> Iterator[AuditFinding]:
    for name, counts in zip(dataset.classes, levels, strict=True):
        below = np.cumsum(counts) / counts.sum()
        low, middle, high = (int(np.searchsorted(below, share / 100)) for share in PERCENTILES)
        used = np.flatnonzero(counts)
        facts = {"class": name, "lowest": int(used[0]), "highest": int(used[-1]), "percentiles": [low, middle, high]}
        text = (
            f"{name}: gray levels {used[0]} to {used[-1]} of 0 to 255; 1 % of pixels up to {low}, half up to {middle},"
            f" 99 % up to {high}"
        )
        yield AuditFinding("gray-levels", "note", text, facts)


def _levels(dataset: Dataset, means: NDArray[np.float32]) -> Iterator[AuditFinding]:
    """Find splits and sites whose images are brighter than those of others. means: of the pixels of each image."""
    least = MAX_LEVEL_DIFFERENCE * float(means.std())
    for by, words, groups in groupings(dataset):
        table = pd.Series(means).groupby(groups).agg(["size", "mean"])
        found = {str(key): float(mean) for key, mean in table.loc[table["size"] >= LEAST_IMAGES, "mean"].items()}
        if by != "class" and len(found) > 1 and max(found.values()) - min(found.values()) > least:
            parts = ", ".join(f"{mean:.0f} in {key}" for key, mean in found.items())
            text = f"mean gray levels differ between {words}: {parts}, of 0 to 255"
            yield AuditFinding(f"levels-by-{by}", "warning", text, {"means": found})


def inverted(thumbnails: Thumbnails, labels: Rows) -> tuple[Rows, list[tuple[int, int]]]:
    """The rows that look like the negative of their class, and the pairs of classes that look like each other's.

    Each thumbnail is correlated with the mean image of its class, if most images of the class look like it. Of 5,840
    chest radiographs (0.25 to 0.98) none is below -0.4, and of inverted ones among them 99.5 % are.
    """
    flat = thumbnails.reshape(len(thumbnails), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    rows, means = [np.empty(0, dtype=np.int64)], dict[int, NDArray[np.float32]]()
    for label in np.unique(labels).tolist():
        of_class = np.flatnonzero(labels == label)
        mean = flat[of_class].mean(axis=0)
        mean /= max(float(np.linalg.norm(mean)), 1e-6)
        correlations = flat[of_class] @ mean
        if np.median(correlations) > MIN_CLASS_CORRELATION:
            means[label] = mean
            rows.append(of_class[correlations < MAX_INVERTED_CORRELATION])
    pairs = [
        (one, other)
        for one in means
        for other in means
        if one < other and means[one] @ means[other] < MAX_INVERTED_CORRELATION
    ]
    return np.sort(np.concatenate(rows)), pairs
