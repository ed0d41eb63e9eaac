"""The critical-difference figure: the mean ranks of models, and which of them cannot be told apart (Demsar 2006)."""

from pathlib import Path

import numpy as np

from harness.report.across.ranked_models import RankedModels
from harness.report.figures.drawing import drawn, named, new_figure, save, titled
from harness.stats.ranks import not_told_apart

MAX_NAME = 60  # characters
ROW_INCHES = 0.26


@drawn
def rank_figure(found: RankedModels, path: Path, mark: str | None = None) -> Path:
    """Draw the mean rank of every model, the best on top, and a bar over each group within the critical difference."""
    means, critical = found.ranks.means, found.ranks.critical
    groups = not_told_apart(means, critical) if critical is not None else []
    figure, axes = new_figure(7.2, max(1.9, 1.3 + ROW_INCHES * len(means)))
    rows = np.arange(len(means))
    axes.plot(means, rows, "o", color="C0", markersize=6)
    for number, group in enumerate(groups):
        low, high = (means[i] for i in (group[0], group[-1]))
        axes.plot([low - 0.02, high + 0.02], [-0.75 - 0.28 * number] * 2, color="C3", lw=3.5, solid_capstyle="butt")
    top = -0.75 - 0.28 * len(groups)
    if critical is not None:
        axes.plot([1, 1 + critical], [top - 0.25] * 2, color="gray", lw=1.2, marker="|")
        axes.annotate(f"critical difference {critical:.2f}", (1, top - 0.25), xytext=(0, 4), textcoords="offset points",
                      fontsize=8, color="gray")  # fmt: skip
    axes.set(
        yticks=rows,
        yticklabels=[f"{named(model, MAX_NAME)}  {mean:.2f}" for model, mean in zip(found.models, means, strict=True)],
        ylim=(len(means) - 0.4, top - 1.0),
        xlim=(0.85, max(len(means), 1 + (critical or 0)) + 0.15),
        xlabel="mean rank (1 is best)",
        title=titled(f"{found.metric} on {len(found.data_sets)} data sets", 70),
    )
    return save(figure, path, vector=True, mark=mark)
