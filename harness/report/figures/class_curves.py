"""ROC and precision-recall curves; of many classes, the worst ones and the range of all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import auc, precision_recall_curve, roc_curve

from harness.report.figures.drawing import SQUARE_INCHES, drawn, named, plain_figure, save
from harness.report.numbers.predictions import by_fold
from harness.report.tables.confused import MAX_CLASSES
from harness.stats.arrays import arrays

MAX_CURVES = 6  # of more than MAX_CLASSES classes
MAX_INSIDE = 4  # lines of a legend that leave the curves visible
LEGEND_INCHES = 0.19  # a line of a legend below the axes
MAX_NAME = 24  # characters of a class in such a legend
Points = NDArray[np.float64]
GRID, FINE_GRID = np.linspace(0, 1, 101), np.linspace(0, 1, 501)  # where the range and the mean of curves are drawn


@dataclass(frozen=True)
class _Curve:
    """A class against the rest, by one model: of a fold or a refit. share: of its images among all."""

    number: int
    name: str
    x: Points
    y: Points
    share: float


@drawn
def roc_figure(
    frame: pd.DataFrame, positive: str | None, title: str, path: Path, vector: bool = False, mark: str | None = None
) -> Path:
    """Draw the ROC curve of the positive class, or of every class against the rest, within each fold."""
    return save(draw_roc(frame, positive, title), path, vector, mark)


def draw_roc(frame: pd.DataFrame, positive: str | None, title: str) -> Figure:
    """The figure of ROC curves: thin those of each model, thick their mean, whose area is the mean of theirs."""
    figure, axes = _lines(_curves(frame, positive, lambda *of: roc_curve(*of)[:2]), title, False)
    axes.plot([0, 1], [0, 1], color="gray", lw=0.8, ls=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    return figure


@drawn
def pr_figure(
    frame: pd.DataFrame, positive: str | None, title: str, path: Path, vector: bool = False, mark: str | None = None
) -> Path:
    """Draw precision against recall of the positive class, or of every class, with its share as the baseline.

    A curve for each fold.
    """
    return save(draw_pr(frame, positive, title), path, vector, mark)


def draw_pr(frame: pd.DataFrame, positive: str | None, title: str) -> Figure:
    """The figure of precision-recall curves."""
    figure, axes = _lines(_curves(frame, positive, lambda *of: precision_recall_curve(*of)[1::-1]), title, True)
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    return figure


def _curves(
    frame: pd.DataFrame, positive: str | None, curve: Callable[[Points, Points], Sequence[Points]]
) -> list[_Curve]:
    """The curve of every class that is shown, by each model that scored images of it and others.

    Scores of different models, as of two folds, are never ranked together.
    """
    found = []
    for part in by_fold(frame):
        classes, probabilities, labels = arrays(part)
        for number, name in enumerate([positive] if positive else classes):
            in_class = labels == classes.index(name)
            if in_class.any() and not in_class.all():
                x, y = curve(in_class, probabilities[:, classes.index(name)])
                found.append(_Curve(number, name, x, y, float(in_class.mean())))
    return found


def _lines(curves: Sequence[_Curve], title: str, baselines: bool) -> tuple[Figure, Axes]:
    """A figure of the curves in their colours, those of many classes as far as they are the worst.

    baselines: whether the share of each class is drawn too.
    """
    shown = _worst(curves)
    names = {curve.number: curve.name for curve in shown}
    inside = len(names) <= MAX_INSIDE
    rows = 0 if inside else -(-len(names) // 2)
    height = 4.0 + LEGEND_INCHES * rows
    figure, (axes,) = plain_figure(title, SQUARE_INCHES, height)
    if len(shown) < len(curves):
        of_all = [np.interp(GRID, *_ascending(curve)) for curve in curves]
        axes.fill_between(GRID, np.min(of_all, axis=0), np.max(of_all, axis=0), color="gray", alpha=0.2, lw=0)
    for place, number in enumerate(names):
        colour, style = f"C{place % 10}", "-" if place < 10 else "--"
        _draw_class(axes, [curve for curve in shown if curve.number == number], (colour, style), baselines)
        axes.lines[-1].set_label(named(names[number], *(() if inside else (MAX_NAME,))))
    if inside:
        axes.legend()
    else:
        figure.subplots_adjust(bottom=(0.55 + LEGEND_INCHES * rows) / height)
        figure.legend(loc="lower center", ncols=2, fontsize=8)
    return figure, axes


def _draw_class(axes: Axes, curves: Sequence[_Curve], look: tuple[str, str], baselines: bool) -> None:
    """Draw the curves of one class: of several models thin ones, and with no baseline their mean; the last is named."""
    colour, style = look
    if baselines:
        axes.axhline(curves[0].share, color=colour, lw=0.8, ls=":")
    width, alpha = (0.6, 0.6) if len(curves) > 1 else (1.6, 1.0)
    for curve in curves:
        axes.plot(curve.x, curve.y, color=colour, ls=style, lw=width, alpha=alpha)
    if len(curves) > 1 and not baselines:
        mean = np.mean([np.interp(FINE_GRID, *_ascending(curve)) for curve in curves], axis=0)
        axes.plot(FINE_GRID, mean, color=colour, ls=style)


def _worst(curves: Sequence[_Curve]) -> list[_Curve]:
    """All curves, or of many classes those of the smallest mean area."""
    areas: dict[int, list[float]] = {}
    for curve in curves:
        areas.setdefault(curve.number, []).append(float(auc(*_ascending(curve))))
    if len(areas) <= MAX_CLASSES:
        return list(curves)
    worst = sorted(areas, key=lambda number: float(np.mean(areas[number])))[:MAX_CURVES]
    return sorted((c for c in curves if c.number in worst), key=lambda c: worst.index(c.number))


def _ascending(curve: _Curve) -> tuple[Points, Points]:
    """The points of a curve, x rising."""
    return (curve.x, curve.y) if curve.x[0] <= curve.x[-1] else (curve.x[::-1], curve.y[::-1])
