"""The forest plot of the subgroups of one scenario."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from harness.report.figures.drawing import drawn, named, save, titled
from harness.report.numbers.records import Estimate

ROW_INCHES = 0.26
PANEL_INCHES = 2.3


@dataclass(frozen=True)
class Forest:
    """What is drawn: a row for each group, a panel for each metric. words: of the metrics, for readers."""

    rows: Mapping[str, Sequence[Estimate]]  # all images first
    words: Mapping[str, str]


@drawn
def forest_figure(forest: Forest, title: str, path: Path, mark: str | None = None) -> Path:
    """Draw each metric of each group with its interval, and of all images as a line (PNG and SVG).

    A value without an interval, of a small group, is a hollow point.
    """
    rows, shown = list(forest.rows), list(forest.words)
    size = (1.9 + PANEL_INCHES * len(shown), 1.1 + ROW_INCHES * len(rows))
    figure, panels = plt.subplots(1, len(shown), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for panel, metric in zip(panels[0], shown, strict=True):
        for y, row in enumerate(rows):
            for e in (e for e in forest.rows[row] if e.metric == metric):
                _draw_row(panel, e, y)
                if y == 0:
                    panel.axvline(e.value, color="gray", lw=0.8, ls="--")
        panel.set(xlabel=forest.words[metric], ylim=(len(rows) - 0.4, -0.6))
        panel.set_yticks(range(len(rows)), [named(row) for row in rows])
    figure.suptitle(titled(title, 34 * len(shown)))
    return save(figure, path, vector=True, mark=mark)


def _draw_row(panel: Axes, estimate: Estimate, y: int) -> None:
    colour = "black" if y == 0 else "C0"
    if estimate.interval is not None:
        panel.plot(estimate.interval, [y, y], color=colour)
    fill = colour if estimate.interval is not None else "none"
    panel.plot([estimate.value], [y], "o", color=colour, markerfacecolor=fill, markersize=4)
