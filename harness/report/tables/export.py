"""Tables as a reader takes them away: Markdown in the page, CSV and LaTeX beside it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from harness.study.settings import Settings, level_text

NUMBER = re.compile(r"(< )?-?\d")
# factors of numbers; the metric `precision` bears the name of a factor of words
FACTORS = [name for name, field in Settings.model_fields.items() if field.annotation is float]
# what Markdown would take for more than itself; an underscore or < within a sentence means nothing
MARKS = re.compile(r"[\\`*\[\]|]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it is read: three decimals, SDs behind their means, and a dash where there is no number.

    The levels of a factor are not rounded: what differs looks different.
    """
    text = table.astype(object)
    for column in table.select_dtypes("float"):
        word = level_text if column in FACTORS else "{:.3f}".format
        text[column] = ["-" if pd.isna(v) else word(v) for v in table[column]]
    for column in [name for name in table if f"{name} SD" in table]:
        text[column] = text[column] + " ± " + text.pop(f"{column} SD")
    return text


def escaped(text: object) -> str:
    """The text as Markdown shows it, character by character, on one line."""
    return MARKS.sub(r"\\\g<0>", " ".join(str(text).split("\n")))


def markdown(table: pd.DataFrame) -> Iterator[str]:
    """The table in Markdown, numbers to the right."""
    right = [bool(len(table) and NUMBER.match(str(table[column].iloc[0]))) for column in table]
    yield "| " + " | ".join(map(escaped, table)) + " |"
    yield "|" + "|".join("---:" if number else "---" for number in right) + "|"
    for row in table.itertuples(index=False):
        yield "| " + " | ".join(map(escaped, row)) + " |"


def export_table(table: pd.DataFrame, folder: Path, name: str) -> list[str]:
    """The lines of the table in Markdown, rounded; NAME.csv (all digits) and NAME.tex are written to the folder."""
    table.to_csv(folder / f"{name}.csv", index=False)
    shown = rounded(table).fillna("")
    (folder / f"{name}.tex").write_text(shown.to_latex(index=False, escape=True), encoding="utf-8")
    return [*markdown(shown), ""]
