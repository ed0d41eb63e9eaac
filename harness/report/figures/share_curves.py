"""The figure of learning curves: a metric by the number of training images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from harness.report.figures.drawing import MAX_SCENARIO_NAME, drawn, named, save, titled
from harness.report.numbers.records import Estimate

MAX_CURVES = 10
SPREAD = 0.025  # by which curves stand apart, as a proportion of the images


@dataclass(frozen=True)
class CurvePoint:
    """A scenario on a curve. images: of a fit, before oversampling, on average. scores: by their names for readers."""

    curve: str
    images: float
    scores: Mapping[str, Estimate]


@drawn
def share_figure(points: Sequence[CurvePoint], title: str, path: Path, mark: str | None = None) -> Path:
    """Draw a panel for each metric, a curve for each combination of the other factors (PNG and SVG)."""
    metrics = list(dict.fromkeys(name for point in points for name in point.scores))
    curves = list(dict.fromkeys(point.curve for point in points))[:MAX_CURVES]
    size = (1.0 + 3.2 * len(metrics), 3.2 + 0.18 * (len(curves) > 1) * len(curves))
    figure, panels = plt.subplots(1, len(metrics), figsize=size, squeeze=False, layout="constrained")
    images = sorted({point.images for point in points})
    for panel, metric in zip(panels[0], metrics, strict=True):
        for number, curve in enumerate(curves):
            _draw_curve(panel, [point for point in points if point.curve == curve], metric, number)
        panel.set(xscale="log", xlabel="training images of a fit", ylabel=named(metric))
        panel.set_xticks(images, [f"{round(count):,}" for count in images])
        panel.xaxis.set_minor_formatter(NullFormatter())
    figure.suptitle(titled(title, 34 * len(metrics)))
    if len(curves) > 1:
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", fontsize=8)
    return save(figure, path, vector=True, mark=mark)


def _draw_curve(panel: Axes, points: Sequence[CurvePoint], metric: str, number: int) -> None:
    found = sorted(
        ((p.images * (1 + SPREAD * number), p.scores[metric]) for p in points if metric in p.scores),
        key=lambda at: at[0],
    )
    colour, name = f"C{number}", named(points[0].curve, MAX_SCENARIO_NAME)
    panel.plot([x for x, _ in found], [e.value for _, e in found], "o-", color=colour, markersize=4, label=name)
    for x, e in found:
        if e.interval is not None:
            panel.plot([x, x], e.interval, color=colour)
