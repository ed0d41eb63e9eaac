"""Cells that stay numbers until a table is shown: a value with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.stats.proportions import Interval

ENDS = ("SD", "low", "high")  # the columns of a cell besides that of its value: `accuracy low`
_Column = list[float | str]


@dataclass(frozen=True)
class Measured:
    """A value with its 95 % interval or its standard deviation, as one cell for readers: `0.912 (0.871 to 0.941)`.

    value: None where the cell is an interval alone. note: follows the value where there is no interval.
    """

    value: float | None
    interval: Interval | None = None
    sd: float | None = None
    note: str = ""

    def __str__(self) -> str:
        ends = "{:z.3f} to {:z.3f}".format(*self.interval) if self.interval else ""
        if self.value is None:
            return ends or "-"
        if ends:
            return f"{self.value:z.3f} ({ends}){self.note}"
        return f"{self.value:z.3f}{'' if self.sd is None else f' ± {self.sd:.3f}'}{self.note}"

    @property
    def numbers(self) -> tuple[float, ...]:
        """Value, SD and both ends of the interval, each NaN where there is none."""
        low, high = self.interval or (np.nan, np.nan)
        return tuple(np.nan if number is None else float(number) for number in (self.value, self.sd, low, high))


def all_digits(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column for each number of its cells: `accuracy`, `accuracy low` and `accuracy high`.

    A column that no cell has a number for is left out.
    """
    if not any(_is_measured(table[column]) for column in table):
        return table
    columns: dict[str, pd.Series | _Column] = {}
    for name in table:
        if not _is_measured(table[name]):
            columns[str(name)] = table[name]
            continue
        columns |= _spread(str(name), table[name].tolist())
    return pd.DataFrame(columns, index=table.index)


def _is_measured(column: pd.Series) -> bool:
    return column.dtype == object and any(isinstance(cell, Measured) for cell in column)


def _spread(name: str, cells: Sequence[object]) -> dict[str, _Column]:
    """The columns of these cells; in one that is no Measured there is no number."""
    nothing = Measured(None)
    rows = [(cell if isinstance(cell, Measured) else nothing).numbers for cell in cells]
    names = (name, *(f"{name} {end}" for end in ENDS))
    found: dict[str, _Column] = {key: list(values) for key, values in zip(names, zip(*rows, strict=True), strict=True)}
    notes = [cell.note.strip(" ,()") if isinstance(cell, Measured) else "" for cell in cells]
    filled = {key: values for key, values in found.items() if not np.isnan(np.array(values, dtype=float)).all()}
    return filled | ({f"{name} note": [*notes]} if any(notes) else {})


def p_text(p: float | None) -> str:
    """A p value for readers."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
