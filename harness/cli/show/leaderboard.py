"""Print the leaderboard of a stage in the width of the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.cli.show.console import marked_title, rows_table
from harness.report.numbers.marks import common_mark
from harness.report.tables.export import rounded
from harness.study.types import plain_metric

if TYPE_CHECKING:
    import pandas as pd

SHORT_NAMES = {"parameters": "params", "against the best": "verdict"}
SHARED = ("folds", "parameters", "FLOPs")  # besides factors, the columns that are said once where all rows agree
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
    board, best_of = _without(board, "BBC-CV")
    text, shared = _without_shared(rounded(board), [*factors, *SHARED])
    if shared:
        console.print(f"the same for all: {shared}")
    whole, legend = _short(text), list[str]()
    text, left_out = _fitting(console, whole, _name(metric))
    if _width(console, text) > console.width:
        whole, legend = _numbered(whole, factors)
        text, left_out = _fitting(console, whole, _name(metric))
    console.print(_table(text))
    for number, name in enumerate(legend, 1):
        console.print(f"  {number}: {name}")
    for line in _notes(console, text, best_of, _name(metric), left_out):
        console.print(f"  {line}")
    console.print()


def _without(board: "pd.DataFrame", column: str) -> "tuple[pd.DataFrame, float | None]":
    """The table without a column, and the one number in that; None where there is none."""
    if column not in board:
        return board, None
    values = board[column].dropna()
    return board.drop(columns=column), float(values.iloc[0]) if len(values) else None


def _without_shared(text: "pd.DataFrame", columns: Sequence[str]) -> "tuple[pd.DataFrame, str]":
    """The table without those of the columns in which all its scenarios agree, and what they agree in."""
    shared = [name for name in columns if name in text and len(text) > 1 and text[name].astype(str).nunique() == 1]
    return text.drop(columns=shared), ", ".join(f"{name} {text[name].iloc[0]}" for name in shared)


def _short(text: "pd.DataFrame") -> "pd.DataFrame":
    """The table with short names, and a star at the selected scenario."""
    selected = text.pop("selected") if "selected" in text else None
    text = text.rename(columns=SHORT_NAMES).rename(columns=_name)
    if selected is not None and selected.any():
        text.insert(0, "", ["*" if word else "" for word in selected])
    return text


def _numbered(text: "pd.DataFrame", factors: Sequence[str]) -> "tuple[pd.DataFrame, list[str]]":
    """The table with numbers in place of the levels, and the levels in words."""
    levels = [name for name in factors if name in text]
    legend = [", ".join(str(level) for level in row) for row in text[levels].to_numpy()]
    text = text.drop(columns=levels)
    text.insert(int("" in text), "#", [str(number + 1) for number in range(len(text))])
    return text, legend


def _name(metric: str) -> str:
    """A metric of validation without `val/`, which the title says; others as they are."""
    return metric.removeprefix("val/") if metric == plain_metric(metric) else metric


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
    console: Console, text: "pd.DataFrame", best_of: float | None, metric: str, left_out: Sequence[str]
) -> list[str]:
    """What a reader of the table needs to know."""
    found = ["*: selected"] if "" in text else []
    if best_of is not None:
        found.append(f"{metric} of the best mean, corrected for being the best: {best_of:.3f} (BBC-CV)")
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
