"""The images of several test sets: taken out of a study's own images, or of sources of their own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unicodedata import normalize

import pandas as pd
from pandas.api.types import is_numeric_dtype

from harness.data.dataset import LEADING, set_split
from harness.data.held_out import FIELD, drawn
from harness.data.left_out import MAX_EXAMPLES, LeftOut
from harness.data.source_images import SourceImages
from harness.errors import DataError
from harness.study.data_block import Data
from harness.study.number_words import first_of, is_are, number_of
from harness.study.set_block import NamedSet
from harness.study.strict_yaml import FieldPath

MAX_NAMED = 8  # values in an error
ONLY_MAIN = ("row", "fold", "bad")  # columns of the study's own table that say nothing of a set from elsewhere


def with_sets(
    own: pd.DataFrame, elsewhere: Mapping[str, pd.DataFrame], spec: Data
) -> tuple[pd.DataFrame, tuple[LeftOut, ...]]:
    """Put the name of its set into the split of every test image; also return what is in no set, and is left out.

    own: the images of the study. elsewhere: those of the sets with a source of their own, as `set_table` has them.
    The images of a set that is picked or drawn are not trained on. Raises DataError.
    """
    taken = pd.Series("", own.index)
    for name, spec_of_set in spec.sets.items():
        if spec_of_set.source is None and spec_of_set.share is None:
            _take(own, taken, name, picked(own, spec_of_set, (*FIELD, "sets", name)))
    for name, spec_of_set in spec.sets.items():
        if spec_of_set.held_out is not None:
            rest = own[(own["split"] == "train") & (taken == "")]
            field = (*FIELD, "sets", name)
            held = drawn(rest, spec_of_set.held_out, spec.patient_source is not None, field)
            taken[held.index[held]] = name
    splits = {name: LEADING if number == 0 else set_split(name) for number, name in enumerate(spec.sets)}
    lost = own[(taken == "") & (own["split"] != "train")]
    kept = own.drop(index=lost.index)
    kept = kept.assign(split=taken[kept.index].map(splits).fillna("train"))
    parts = [kept, *(table.assign(split=splits[name]) for name, table in elsewhere.items())]
    return _together(parts), _no_set(lost)


def _take(own: pd.DataFrame, taken: pd.Series, name: str, rows: pd.Series) -> None:
    """Note the rows of a set. Raises DataError where some are in another set already."""
    twice = own[rows & (taken != "")]
    if len(twice):
        other = taken[twice.index[0]]
        raise DataError(
            f"{number_of(len(twice), 'image')} {is_are(len(twice))} in the sets {other} and {name}, such as"
            f" {twice['image'].iloc[0]}; sets share no image: narrow one of them down, such as"
            " {split: test, COLUMN: [VALUES]}",
            (*FIELD, "sets", name),
        )
    taken[rows] = name


def picked(images: pd.DataFrame, spec: NamedSet, field: FieldPath) -> pd.Series:
    """Which of these images meet every condition of a set. Raises DataError where none does."""
    rows = pd.Series(True, images.index)
    for column, values in spec.conditions.items():
        found = _one_of(images[column], values)
        if not found.any():
            named = " or ".join(map(repr, values))
            raise DataError(f"no image has the {column} {named}; there are {_listed(images[column])}", (*field, column))
        rows &= found
    if not rows.any():
        raise DataError("no image meets all of its conditions", field)
    return rows


def _one_of(column: pd.Series, values: Sequence[Any]) -> pd.Series:
    """Which cells are one of these values: numbers by their value, text by its letters."""
    if is_numeric_dtype(column):
        return column.isin([number for number in map(_number, values) if number is not None])
    return column.isin([normalize("NFC", str(value)) for value in values])


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _listed(column: pd.Series) -> str:
    values = [str(value) for value in sorted(column.dropna().unique().tolist())]
    return first_of(values, MAX_NAMED)


def set_table(found: SourceImages, name: str, spec: NamedSet, patients_known: bool) -> pd.DataFrame:
    """The images of a set with a source of its own; the name of the set stands before their paths.

    patients_known: whether anything says who its patients are; else each image counts as one.
    """
    table = found.table
    if spec.conditions:
        table = table[picked(table, spec, (*FIELD, "sets", name))]
    images = f"{name}:" + table["image"]
    patients = table["patient"] if patients_known else images
    if patients_known and spec.patient_scope == "set":
        patients = f"{name}:" + patients
    further = [column for column in ONLY_MAIN if column in table]
    return table.assign(image=images, patient=patients).drop(columns=further)


@contextmanager
def of_set(name: str) -> Iterator[None]:
    """Name the field of this set in errors about a field of its source."""
    try:
        yield
    except DataError as error:
        field = error.field if error.field else ("data", "path")
        inside = field if field[: len(FIELD)] == FIELD else (*FIELD, "sets", name, *field[1:])
        raise DataError(f"the set {name}: {error}", inside) from None


def left_out_of_set(name: str, left_out: Sequence[LeftOut]) -> Iterator[LeftOut]:
    """Yield what a source of a set leaves out, with the name of the set before its examples."""
    for left in left_out:
        yield LeftOut(left.kind, left.count, tuple(f"{name}:{each}" for each in left.first), left.parts)


def _no_set(lost: pd.DataFrame) -> tuple[LeftOut, ...]:
    counts = lost["split"].value_counts()
    parts = tuple(f"split {split}: {count:,}" for split, count in counts.items())
    return (LeftOut("no-set", len(lost), tuple(lost["image"][:MAX_EXAMPLES]), parts),) if len(lost) else ()


def _together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All images in one table. Raises DataError where a column has numbers in one part and text in another."""
    for column in dict.fromkeys(name for part in parts for name in part):
        kinds = [is_numeric_dtype(part[column]) for part in parts if column in part and part[column].notna().any()]
        if len(set(kinds)) > 1:
            raise DataError(f"{column} is a number in one source of images and text in another", FIELD)
    table = pd.concat(parts, ignore_index=True)
    return table.astype({"row": "Int64"}) if "row" in table and len(parts) > 1 else table
