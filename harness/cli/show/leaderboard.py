"""Print the leaderboard of a stage in the width of the terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.cli.show.console import frame_table
from harness.report.tables.export import rounded

if TYPE_CHECKING:
    import pandas as pd

SHORT_NAMES = {"parameters": "params", "against the best": "verdict"}
LEAVING = (  # the columns that a narrow terminal has no room for, in this order
    "val/balanced_accuracy", "val/f1", "val/accuracy", "val/roc_auc", "folds", "fit s", "FLOPs", "parameters",
    "practically",
)  # fmt: skip


def show_leaderboard(console: Console, title: str, board: "pd.DataFrame", metric: str) -> None:
    """Print the table, without the columns that do not fit, which are named below it.

    metric: the one ranked by. The folds done stay where they are unequal.
    """
    text, left_out = rounded(board), list[str]()
    stays = {metric, *(["folds"] if board["folds"].nunique() > 1 else [])}
    for column in (name for name in LEAVING if name in board and name not in stays):
        if _width(console, title, text) <= console.width:
            break
        left_out.append(column)
        text = rounded(board).drop(columns=left_out).rename(columns=SHORT_NAMES)
    console.print(frame_table(title, text))
    if left_out:
        console.print(f"  no room in {console.width} columns for {', '.join(left_out)}: they are in the report\n")


def _width(console: Console, title: str, text: "pd.DataFrame") -> int:
    """The width of the table in which no cell is wrapped."""
    table: Table = frame_table(title, text)
    table.title = None
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum
