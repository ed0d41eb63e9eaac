"""The figure of a stage's verdicts: how far every scenario is from the best mean."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.report.figures.drawing import MAX_SCENARIO_NAME, drawn, named, new_figure, row_labels, save, titled
from harness.study.contests import Contest, pairs

MAX_ROWS = 40
ROW_INCHES = 0.28
XLABEL_WIDTH = 50  # characters of a line below the axes, beside which the names stand


@drawn
def difference_figure(
    contests: Sequence[Contest], metric: str, margin: float, title: str, path: Path, mark: str | None = None
) -> Path:
    """Draw each scenario minus the best, over the folds, with the intervals of the corrected resampled t-test.

    A thick line is the interval of one comparison alone, a thin one that adjusted for all pairs of the stage, up to the
    edge of the figure. Red: told apart from the best. The smallest differences are on top. The band is the region of
    practical equivalence, within `margin`. Where the folds do not show the spread of the differences, there is no
    interval, and the point is hollow.
    """
    ranked = sorted(contests, key=lambda contest: abs(contest.test.difference))[:MAX_ROWS]
    labels, wider, higher = row_labels(contest.other.name for contest in ranked)
    figure, axes = new_figure(7.2 + wider, max(1.6, 1.1 + ROW_INCHES * higher * len(ranked)))
    axes.axvspan(-margin, margin, color="tab:green", alpha=0.15, lw=0)
    axes.axvline(0, color="gray", lw=0.8)
    for row, contest in enumerate(ranked):
        test, color = contest.test, "tab:red" if contest.resolved else "C0"
        known = bool(np.isfinite(test.low))
        if known:
            axes.plot([-test.high, -test.low], [row, row], color=color, lw=3, solid_capstyle="butt")
        axes.plot([-test.difference], [row], "o", color=color, markersize=6, mfc=None if known else "none")
    edges = axes.get_xlim()
    for row, contest in enumerate(ranked):
        low, high = contest.test.adjusted(pairs(len(contests) + 1))
        if np.isfinite(low):
            axes.plot([-high, -low], [row, row], color="tab:red" if contest.resolved else "C0", lw=0.9)
    axes.set(
        xlim=edges,
        yticks=range(len(ranked)),
        yticklabels=labels,
        ylim=(len(ranked) - 0.4, -0.6),
        xlabel=titled(f"{metric}, minus that of {named(ranked[0].top.name, MAX_SCENARIO_NAME)}", XLABEL_WIDTH),
        title=titled(title, XLABEL_WIDTH),
    )
    return save(figure, path, vector=True, mark=mark)
