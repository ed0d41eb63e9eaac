"""Print the leaderboard of a stage in the width of the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.cli.show.console import marked_title, rows_table
from harness.report.numbers.marks import common_mark
from harness.report.tables.compact_leaderboard import NESTED, compact_leaderboard, corrected_mean, short_name

if TYPE_CHECKING:
    import pandas as pd

LEAVING = (  # the columns that a narrow terminal has no room for, in this order
    "balanced_accuracy", "f1", "accuracy", "roc_auc", "folds", "fit s", "FLOPs", "params", "practically",
)  # fmt: skip


def show_leaderboard(console: Console, title: str, board: "pd.DataFrame", factors: Sequence[str], metric: str) -> None:
    """Print the table, and above it once what all its scenarios share.

    No cell is cut or wrapped: columns that do not fit are left out and named, and where the levels of the scenarios
    are too long even then, they stand below the table. metric: the one ranked by.
    """
    mark, board = common_mark(board)
    console.print(marked_title(title, mark), style="bold")
    text, shared = compact_leaderboard(board, factors)
    if shared:
        console.print(f"the same for all: {shared}")
    whole, legend = _starred(text), list[str]()
    text, left_out = _fitting(console, whole, short_name(metric))
    if _width(console, text) > console.width:
        whole, legend = _numbered(whole, factors)
        text, left_out = _fitting(console, whole, short_name(metric))
    console.print(_table(text))
    for number, name in enumerate(legend, 1):
        console.print(f"  {number}: {name}")
    for line in _notes(console, text, board, short_name(metric), left_out):
        console.print(f"  {line}")
    console.print()


def _starred(text: "pd.DataFrame") -> "pd.DataFrame":
    """The table with a star at the selected scenario."""
    selected = text.pop("selected")
    if selected.any():
        text.insert(0, "", ["*" if word else "" for word in selected])
    return text


def _numbered(text: "pd.DataFrame", factors: Sequence[str]) -> "tuple[pd.DataFrame, list[str]]":
    """The table with numbers in place of the levels, and the levels in words."""
    levels = [name for name in factors if name in text]
    legend = [", ".join(str(level) for level in row) for row in text[levels].to_numpy()]
    text = text.drop(columns=levels)
    text.insert(int("" in text), "#", [str(number + 1) for number in range(len(text))])
    return text, legend


def _fitting(console: Console, text: "pd.DataFrame", metric: str) -> "tuple[pd.DataFrame, list[str]]":
    """The table without the columns that do not fit, and these. The folds done stay where they are unequal."""
    left_out = list[str]()
    stays = {metric, *(["folds"] if "folds" in text and text["folds"].nunique() > 1 else [])}
    for column in (name for name in LEAVING if name in text and name not in stays):
        if _width(console, text) <= console.width:
            break
        left_out.append(column)
        text = text.drop(columns=column)
    return text, left_out


def _notes(
    console: Console, text: "pd.DataFrame", board: "pd.DataFrame", metric: str, left_out: Sequence[str]
) -> list[str]:
    """What a reader of the table needs to know. board: the whole one."""
    found = ["*: selected"] if "" in text else []
    best_of, nested = corrected_mean(board), corrected_mean(board, NESTED)
    if best_of is not None:
        found.append(f"{metric} of the best mean, corrected for being the best: {best_of:.3f} (BBC-CV)")
    if nested is not None:
        found.append(f"{metric} of what is selected, on outer folds that took no part in it: {nested:.3f} (nested)")
    if left_out:
        found.append(f"no room in {console.width} columns for {', '.join(left_out)}: they are in the report")
    return found


def _table(text: "pd.DataFrame") -> Table:
    table = rows_table("", [str(column) for column in text], text.to_numpy().tolist())
    table.title = table.caption = None
    return table


def _width(console: Console, text: "pd.DataFrame") -> int:
    """The width of the table in which no cell is wrapped."""
    return console.measure(_table(text), options=console.options.update(max_width=10_000)).maximum
