"""Read the cells of a table from its file, as text."""

import re
import warnings
from pathlib import Path
from unicodedata import normalize

import pandas as pd

from harness.errors import DataError, first_line, printable

ENDINGS = (".csv", ".tsv", ".parquet")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
SEPARATORS = ",;\t"
FIRST_ROW = 2  # as a spreadsheet counts: the names of the columns are row 1
NO_VALUE = frozenset(
    {
        "n/a",
        "na",
        "n.a.",
        "nan",
        "none",
        "null",
        "nil",
        "unknown",
        "unk",
        "missing",
        "not available",
        "not known",
        "?",
        "-",
        "--",
        ".",
    }
)  # what people write into a cell of a column of numbers, in lower case
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")  # `007` is a name


def read_rows(path: Path) -> pd.DataFrame:
    """The cells of a table as text, empty ones missing; the index is the number of the row.

    Raises DataError where the file is no table.
    """
    shown = printable(str(path))
    if path.suffix.lower() in SPREADSHEETS:
        raise DataError(f"{shown} is a workbook, which is not read; save the sheet as CSV UTF-8, beside the images")
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{shown} is no table of images; allowed: {', '.join(ENDINGS)}")
    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except UnicodeDecodeError:
        raise DataError(f"{shown} is not UTF-8; save it as CSV UTF-8") from None
    except PermissionError:
        raise DataError(f"{shown} may not be read; let this user read it: chmod u+r FILE") from None
    except Exception as error:  # whatever pandas and pyarrow raise on a broken file
        raise DataError(f"{shown} cannot be read: {first_line(error)}") from None
    doubled = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if doubled:
        raise DataError(f"{shown} has the column {doubled[0]!r} twice; rename one")
    table = pd.DataFrame({str(name): _text(table[name]) for name in table}).astype(object)
    table.index = pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(table))
    return table.dropna(how="all")


def _read_csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    separator = "\t" if path.suffix.lower() == ".tsv" else max(SEPARATORS, key=header.count)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows with more cells than names
        table = pd.read_csv(
            path, sep=separator, header=None, index_col=False, dtype=str, keep_default_na=False, na_values=[""],
            encoding="utf-8-sig", skip_blank_lines=False,
        )  # fmt: skip
    names = table.iloc[0]
    if names.isna().any():
        raise ValueError(f"column {int(names.isna().to_numpy().argmax()) + 1} has no name in the first row")
    return table.iloc[1:].set_axis(names.tolist(), axis=1)


def _text(column: pd.Series) -> pd.Series:
    """The values as text; whole numbers without a decimal point, blank cells missing."""
    codes, values = pd.factorize(column)  # most columns repeat their values
    words = values.tolist()
    if all(isinstance(value, float) and value.is_integer() for value in words):  # integers beside missing ones
        words = [int(value) for value in words]
    words = [_word(str(value)) for value in words]
    return pd.Series(pd.array([*words, None], dtype=object)[codes])  # the code of a missing value is -1


def _word(text: str) -> str | None:
    if not text.strip():
        return None
    return text if text.isascii() else normalize("NFC", text)


def typed(column: pd.Series) -> pd.Series:
    """The metadata as numbers where every value is one, else as text. Missing stays missing; `007` is text.

    Beside numbers, and only there, words such as `n/a` or `unknown` are missing values. No number is: -1 and 999 stay.
    """
    numbers = column.mask(_without_value(column))
    if not numbers.notna().any() or not numbers.dropna().str.fullmatch(NUMBER).all():
        return column.astype(object).where(column.notna(), None)
    return pd.to_numeric(numbers)


def gap_words(column: pd.Series) -> str:
    """How many cells of a column of numbers have none, in words; empty where all have one, or where it is text."""
    if not pd.api.types.is_numeric_dtype(found := typed(column)) or not found.isna().any():
        return ""
    kinds = ", ".join(
        f"{name} {count:,}" for name, count in column[found.isna()].fillna("empty").value_counts().items()
    )
    return f"numbers, missing in {int(found.isna().sum()):,} of {len(column):,} rows ({kinds})"


def _without_value(column: pd.Series) -> "pd.Series[bool]":
    """Whether each cell has a word for a value that is not known, such as `n/a`."""
    return column.str.strip().str.lower().isin(NO_VALUE)
