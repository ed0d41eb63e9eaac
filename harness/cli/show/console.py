"""Print tables on a terminal or into a pipe."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from harness.cli.show.whole_table import GAP, WholeTable
from harness.cli.streams import CLOSED_PIPE

if TYPE_CHECKING:
    import pandas as pd

SYNTHETIC_WARNING = "SYNTHETIC DATA: drawn by a procedure; no number here says anything about patients"


class _OnPipe(Console):
    """A console whose pipe may be closed by its reader."""

    def on_broken_pipe(self) -> None:
        """Print nothing any more, and end."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(CLOSED_PIPE)


def new_console() -> Console:
    """The console on standard output; in a pipe lines are not wrapped or cut."""
    piped = not sys.stdout.isatty()
    return _OnPipe(width=240 if piped else None, highlight=False, soft_wrap=piped, markup=False)


def rows_table(title: str, columns: list[str], rows: Sequence[Sequence[object]]) -> WholeTable:
    """A table of plain text; columns of numbers are right-aligned."""
    table = WholeTable(title=title, title_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(str(row[index])[:1].isdigit() or row[index] == "-" for row in rows)
        table.add(column, numbers)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else str(cell) for cell in row))
    table.caption = " "
    return table


def frame_table(title: str, frame: "pd.DataFrame") -> WholeTable:
    """A data frame as a table; the mark that all its rows share is in the title."""
    from harness.report.numbers.marks import common_mark

    mark, rest = common_mark(frame)
    return rows_table(marked_title(title, mark), [str(column) for column in rest], rest.to_numpy().tolist())


def marked_title(title: str, mark: str | None) -> str:
    """The title of a table with the mark of all its rows."""
    return f"{title} ({mark})" if mark else title


def show_marks(console: Console, marks: Iterable[str]) -> None:
    """Print why every number is less than it seems."""
    for mark in marks:
        console.print(SYNTHETIC_WARNING if SYNTHETIC_WARNING.startswith(mark) else mark, style="bold")


def relative(path: object) -> str:
    """The path relative to the current folder, if it is inside it."""
    return os.path.relpath(str(path)) if os.path.relpath(str(path))[:2] != ".." else str(path)
