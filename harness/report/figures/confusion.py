"""The confusion matrix as a figure; of many classes, the most confused ones."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness.report.figures.drawing import drawn, named, plain_figure, save
from harness.report.tables.confused import most_confused
from harness.report.tables.scenario_tables import confusion_table

INK = "#111111"  # text on a coloured area: pure black would be replaced by the text colour of the page
MAX_LARGE = 4  # classes whose cells have room for counts and shares
CELL_INCHES = 0.36  # of more classes
LETTER_INCHES = 0.068
MAX_NAME = 22  # characters of a class, next to small cells


@drawn
def confusion_figure(
    frame: pd.DataFrame, title: str, path: Path, vector: bool = False, mark: str | None = None
) -> Path:
    """Draw the confusion matrix with counts (their means over several repeats) and shares of each true class."""
    return save(draw_confusion(frame, title), path, vector, mark)


def draw_confusion(frame: pd.DataFrame, title: str) -> Figure:
    """The figure of a confusion matrix; of more than a few classes with small cells and the shares as colours."""
    table = confusion_table(frame)
    return _large(table, title) if len(table) <= MAX_LARGE else _small(table, title)


def _large(table: pd.DataFrame, title: str) -> Figure:
    counts = table.to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = plain_figure(title, 1.6 + 1.1 * len(table), 1.2 + 0.9 * len(table))
    corners = np.arange(len(table) + 1) - 0.5
    axes.pcolormesh(corners, corners, shares, cmap="Blues", vmin=0, vmax=1)
    axes.invert_yaxis()
    for (row, column), share in np.ndenumerate(shares):
        count = counts[row, column]
        text = f"{count:,.1f}\n{share:.1%}" if counts.dtype.kind == "f" else f"{count:,}\n{share:.1%}"
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else INK)
    ticks = range(len(table))
    axes.set_xticks(ticks, [named(name) for name in table.columns])
    axes.set_yticks(ticks, [named(name) for name in table.index], rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true")
    axes.grid(visible=False)
    return figure


def _small(table: pd.DataFrame, title: str) -> Figure:
    """The matrix of the most confused classes; all others are one more column, so that each row is complete."""
    shown, totals = most_confused(table), table.sum(axis=1)
    part, rows = table.loc[shown, shown], [named(name, MAX_NAME) for name in shown]
    columns, others = list(rows), len(table) - len(shown)
    if others:
        part = part.assign(**{"": totals.loc[shown] - part.sum(axis=1)})
        columns.append(f"{others} others")
    counts = part.to_numpy()
    shares = counts / np.maximum(totals.loc[shown].to_numpy()[:, None], 1)
    left = below = 0.45 + LETTER_INCHES * max(map(len, columns))
    width, height = left + CELL_INCHES * len(columns) + 0.15, below + CELL_INCHES * len(rows)
    figure, (axes,) = plain_figure(title, width, height + 0.6)
    axes.pcolormesh(
        np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5, shares, cmap="Blues", vmin=0, vmax=1
    )
    axes.invert_yaxis()
    for (row, column), share in np.ndenumerate(shares):
        if count := counts[row, column]:
            text = f"{count:.1f}" if counts.dtype.kind == "f" else f"{count}"
            colour = "white" if share > 0.5 else INK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="predicted (counts; colour: share of the true class)", ylabel="true")
    axes.grid(visible=False)
    figure.subplots_adjust(left=left / width, bottom=below / (height + 0.6))
    return figure
