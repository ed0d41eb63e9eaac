"""The metadata of the images in a table: what their columns have."""

import pandas as pd

from harness.data.dataset import Dataset
from harness.study.number_words import first_of

MAX_LEVELS = 8  # of a column of text, by name


def metadata_counts(dataset: Dataset) -> pd.DataFrame:
    """A row for each metadata column: its name, its values (with counts, or their range) and the images without one."""
    rows = [(name, _values(dataset.table[name]), int(dataset.table[name].isna().sum())) for name in dataset.metadata]
    return pd.DataFrame(rows, columns=["column", "values", "missing"])


def _values(column: pd.Series) -> str:
    """The values in words."""
    if not column.notna().any():
        return "none"
    if pd.api.types.is_numeric_dtype(column):
        return f"{column.min():g} to {column.max():g}"
    return first_of([f"{value} {count:,}" for value, count in column.value_counts().items()], MAX_LEVELS)
