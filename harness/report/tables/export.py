"""Tables for readers: Markdown in the page, CSV and LaTeX next to it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from harness.report.numbers.marks import common_mark
from harness.report.tables.cells import Measured, all_digits, p_text
from harness.study.settings import Settings, level_text

NUMBER = re.compile(r"(< )?-?\d(?!.*[A-Za-z]{4})")  # not a sentence that begins with one
# those with numbers as levels; the metric `precision` has the name of a factor without
NUMERIC_FACTORS = [name for name, field in Settings.model_fields.items() if field.annotation is float]
# characters that Markdown would take for markup; an underscore or < within a sentence is none
MARKUP = re.compile(r"[\\`*\[\]|]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


def short(number: float) -> str:
    """A large number in three digits: `950`, `25.6 k`, `4.09 G`."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


FORMATS: dict[str, Callable[[float], str]] = {  # of columns that are no metrics
    **dict.fromkeys(("parameters", "trained", "FLOPs", "images/s", "peak MiB"), short),
    **dict.fromkeys(("extraction s", "fit s", "fit s SD", "Wh"), "{:.3g}".format),
    **dict.fromkeys(("images", "patients", "training images", "trained parameters"), "{:,.0f}".format),
    **dict.fromkeys(("p", "p (Holm)"), p_text),
    "mean rank": "{:.2f}".format,
    "seconds": "{:.1f}".format,
}


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """The table for readers: three decimals, SDs behind their means, and a dash where there is no number.

    Costs have three digits. The levels of a factor are not rounded, so that different levels look different.
    """
    text = table.astype(object)
    for column in table:
        text[column] = _words(table[column])
    for column in [name for name in table if f"{name} SD" in table]:
        text[column] = text[column] + " ± " + text.pop(f"{column} SD")
    return text


def _words(column: pd.Series) -> list[Any]:
    """The cells of a column for readers."""
    if column.dtype.kind == "f":
        plain: Callable[[float], str] = level_text if column.name in NUMERIC_FACTORS else "{:z.3f}".format
        word = FORMATS.get(str(column.name), plain)
        return ["-" if pd.isna(v) else word(v) for v in column]
    if column.dtype == object and any(isinstance(v, Measured) for v in column):
        return [str(v) if isinstance(v, Measured) else "-" for v in column]
    if (word_of := FORMATS.get(str(column.name))) is not None:
        return [word_of(v) if isinstance(v, int | float) and v == v else v for v in column.tolist()]
    return column.tolist()


def escaped(text: object) -> str:
    """The text on one line, escaped so that Markdown shows every character as it is."""
    return MARKUP.sub(r"\\\g<0>", " ".join(str(text).split("\n")))


def sentence(words: str) -> str:
    """The words as a sentence in Markdown: escaped, with a capital letter and a full stop.

    Not for words that begin with a name, such as that of a study, which has no capital letter of its own.
    """
    return f"{escaped(words[:1].upper() + words[1:])}."


def markdown(table: pd.DataFrame) -> Iterator[str]:
    """The lines of the table in Markdown, numbers aligned to the right."""
    right = [bool(len(table) and NUMBER.match(str(table[column].iloc[0]))) for column in table]
    yield "| " + " | ".join(map(escaped, table)) + " |"
    yield "|" + "|".join("---:" if number else "---" for number in right) + "|"
    for row in table.itertuples(index=False):
        yield "| " + " | ".join(map(escaped, row)) + " |"


def export_table(table: pd.DataFrame, folder: Path, name: str) -> list[str]:
    """Write NAME.csv (all digits) and NAME.tex to the folder, and return the lines of the rounded table in Markdown."""
    write_table(table, folder, name)
    return marked_markdown(table)


def write_table(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Write NAME.csv (all digits, an interval in two columns) and NAME.tex (rounded), with the mark in every row."""
    all_digits(table).to_csv(folder / f"{name}.csv", index=False)
    shown = rounded(table).fillna("")
    (folder / f"{name}.tex").write_text(shown.to_latex(index=False, escape=True), encoding="utf-8")


def marked_markdown(table: pd.DataFrame) -> list[str]:
    """The lines of the rounded table in Markdown, below the mark that all its rows share."""
    mark, rest = common_mark(table)
    return [*([f"*{escaped(mark)}*", ""] if mark else []), *markdown(rounded(rest).fillna("")), ""]
