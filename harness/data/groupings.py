"""Differences between groups of images: classes, splits, and the values of metadata such as the site."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import Dataset
from harness.data.finding import AuditFinding

MAX_DIFFERENCE = 0.1  # between groups of images, in the proportion of those with a property
MAX_GROUPS = 20  # values of a metadata column by which images are grouped


class Grouping(NamedTuple):
    """What images are grouped by: its name, the groups in words, and the group of each image."""

    by: str
    words: str
    groups: pd.Series


def groupings(dataset: Dataset) -> Iterator[Grouping]:
    """The groupings of a dataset; by numbers, such as ages, it is not grouped."""
    yield Grouping("class", "classes", dataset.table["label"])
    yield Grouping("split", "splits", dataset.table["split"])
    for name in dataset.metadata:
        column = dataset.table[name]
        if not pd.api.types.is_numeric_dtype(column) and column.nunique() <= MAX_GROUPS:
            yield Grouping(name, f"the values of {name}", column)


def differing_shares(dataset: Dataset, name: str, what: str, hit: NDArray[np.bool_]) -> Iterator[AuditFinding]:
    """Find groupings whose groups differ in the share of images with a property. hit: whether an image has it, [n]."""
    for by, words, groups in groupings(dataset):
        shares = {str(key): float(share) for key, share in pd.Series(hit).groupby(groups).mean().items()}
        if len(shares) > 1 and max(shares.values()) - min(shares.values()) > MAX_DIFFERENCE:
            parts = ", ".join(f"{share:.0%} of {key}" for key, share in shares.items())
            yield AuditFinding(f"{name}-by-{by}", "warning", f"{what} between {words}: {parts}", {"shares": shares})
