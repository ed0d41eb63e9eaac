"""The groups of images that `subgroups` names: by the values of a column of the metadata, or by bands of them."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from harness.data.dataset import Dataset, Rows
from harness.errors import DataError
from harness.study import Study
from harness.study.messages import unknown
from harness.study.subgroups import MISSING, column_of, cuts_of, number_words
from harness.study.types import is_worst_group, plain_metric
from harness.study.worst_group import ImageGroups, needed_words, takes_part

MAX_GROUPS = 20  # of one column


def subgroup_table(study: Study, dataset: Dataset) -> pd.DataFrame:
    """The groups of every image: a row for each image by its path, a categorical column for each of `subgroups`.

    Raises DataError where a column is not in the metadata, has too many values, or cannot be cut.
    """
    columns = {}
    for number, subgroup in enumerate(study.subgroups):
        with study.blamed("subgroups", number):
            name, cuts = column_of(subgroup), cuts_of(subgroup)
            values = _values(dataset, name)
            groups = groups_by(values, cuts)
            if groups is None:
                raise _too_many(values)
            columns[name] = groups
    return pd.DataFrame(columns, index=pd.Index(dataset.table["image"], name="image"))


def group_name(column: str, group: str) -> str:
    """The name of a group in sentences and figures: `sex = F`, `age 40-64`, `age >= 65`."""
    return f"{column} {group}" if group.startswith(("<", ">=")) else f"{column} = {group}"


def _values(dataset: Dataset, name: str) -> pd.Series:
    if name not in dataset.metadata:
        if not dataset.metadata:
            raise DataError(
                f"the images have no metadata, so there is no column {name}; name the columns of a table:"
                " data: {source: table, metadata: [...]}"
            )
        raise DataError(unknown("column of the metadata", name, dataset.metadata))
    return dataset.table[name]


def groups_by(values: pd.Series, cuts: Sequence[float] = (), at_median: bool = False) -> "pd.Categorical[Any] | None":
    """The groups of a column: its bands, or else its values, numbers by their size; None where there are too many.

    at_median: numbers with too many values are cut at their median.
    """
    if cuts:
        return _bands(values, cuts)
    numbers = is_numeric_dtype(values)
    levels = sorted(values.dropna().unique().tolist())
    if len(levels) > MAX_GROUPS:
        return _bands(values, [float(values.median())]) if numbers and at_median else None
    words = [number_words(level) if numbers else str(level) for level in levels]
    codes = pd.Categorical(values, categories=levels).codes
    return _named(np.asarray(codes, dtype=np.int64), words)


def _too_many(values: pd.Series) -> DataError:
    count = values.nunique()
    median = number_words(float(values.median())) if is_numeric_dtype(values) else ""
    more = f"; give cut points: {{{values.name}: [{median}]}}" if median else ""
    return DataError(f"{values.name} has {count:,} different values; at most {MAX_GROUPS} make groups{more}")


def _bands(values: pd.Series, cuts: Sequence[float]) -> "pd.Categorical[Any]":
    """The bands of a column of numbers, from below the first cut point to the last one and more."""
    if not is_numeric_dtype(values) and values.notna().any():
        first = values.dropna().iloc[0]
        raise DataError(f"cut points need numbers; {values.name} has text, such as {first!r}: leave the cut points out")
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    codes = np.where(np.isnan(numbers), -1, np.searchsorted(cuts, numbers, side="right"))
    known = numbers[~np.isnan(numbers)]
    whole = bool((known == np.floor(known)).all()) and all(cut == math.floor(cut) for cut in cuts)
    inner = [_band(low, high, whole) for low, high in pairwise(cuts)]
    return _named(codes, [f"<{number_words(cuts[0])}", *inner, f">={number_words(cuts[-1])}"])


def _band(low: float, high: float, whole: bool) -> str:
    """The words for the numbers from `low` to below `high`: `40-64` where all numbers are whole."""
    if not whole:
        return f"{number_words(low)} to <{number_words(high)}"
    if high == low + 1:
        return number_words(low)
    return f"{number_words(low)}{'-' if low >= 0 else ' to '}{number_words(high - 1)}"


def _named(codes: Rows, names: Sequence[str]) -> "pd.Categorical[Any]":
    """The groups by their names; missing values, code -1, are the last group where there are any.

    A text `missing` says the same as an empty cell.
    """
    known = [name for name in names if name != MISSING]
    places: Rows = np.array([known.index(name) if name != MISSING else len(known) for name in names] + [len(known)])
    found: Rows = places[codes]
    every = [*known, *([MISSING] if (found == len(known)).any() else [])]
    return pd.Categorical.from_codes(found, pd.Index(every))


def group_counts(groups: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The images of every group: the column group, and one for each split that has images."""
    splits = {split: dataset.rows(split) for split in dataset.splits}
    return pd.DataFrame(
        {"group": group_name(str(column), group)}
        | {
            split: int((groups[column].cat.codes.iloc[rows] == code).sum())
            for split, rows in splits.items()
            if len(rows)
        }
        for column in groups
        for code, group in enumerate(groups[column].cat.categories)
    )


def image_groups(groups: pd.DataFrame, dataset: Dataset) -> ImageGroups:
    """The training images of each group, for the metrics of the worst group."""
    return ImageGroups({name: frozenset(_images(dataset, rows)) for name, rows in _training_rows(groups, dataset)},
                       dataset.positive)  # fmt: skip


def _images(dataset: Dataset, rows: Rows) -> list[str]:
    found: list[str] = dataset.table["image"].iloc[rows].tolist()
    return found


def _training_rows(groups: pd.DataFrame, dataset: Dataset) -> Iterator[tuple[str, Rows]]:
    """Every group with its training images, as rows of the dataset's table."""
    rows = dataset.rows("train")
    for column in groups:
        codes = groups[column].cat.codes.to_numpy()[rows]
        for code, group in enumerate(groups[column].cat.categories):
            yield group_name(str(column), group), rows[codes == code]


def check_subgroups(study: Study, groups: pd.DataFrame, dataset: Dataset, validated: Sequence[Rows]) -> None:
    """Raise StudyError where a stage selects by groups that are too small.

    dataset: of the study's unit, as groups. validated: its validation rows in each fold of one repeat.
    """
    for index, stage in enumerate(study.stages):
        if stage.select is None or not is_worst_group(stage.select.metric):
            continue
        metric = stage.select.metric
        counts = (
            [np.bincount(dataset.labels[np.intersect1d(rows, of_fold)], minlength=len(dataset.classes))
             for of_fold in validated]
            for _, rows in _training_rows(groups, dataset)
        )  # fmt: skip
        if not any(takes_part(metric, in_folds) for in_folds in counts):
            raise study.error(
                ("stages", index, "select", "metric"),
                f"no group has {needed_words(metric, f'{study.unit}s')}; select by {plain_metric(metric)}, or make"
                " larger groups",
            )
