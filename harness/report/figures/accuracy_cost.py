"""The figure of a metric over its cost, with the Pareto front."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from harness.report.figures.drawing import MAX_SCENARIO_NAME, drawn, named, new_figure, save, titled
from harness.report.tables.export import short
from harness.stats.pareto import pareto_indices

MAX_NAMED = 12  # points: of more, only those on the front have a number and a name
MAX_NAMES_ON_FRONT = 20
LEGEND_LINE_INCHES = 0.18
HALF_LINE = 45  # characters of a name in two columns
DECADE = 10


@dataclass(frozen=True)
class CostPoint:
    """A scenario: its cost, and the mean of the metric over the folds with its standard deviation."""

    name: str
    cost: float
    value: float
    sd: float = 0.0


@dataclass(frozen=True)
class CostAxes:
    """What the axes mean."""

    cost: str
    metric: str
    maximize: bool


def front_of(points: Sequence[CostPoint], maximize: bool) -> list[int]:
    """The indices of the points that no other beats in both, the cheapest first."""
    sign = 1 if maximize else -1
    return pareto_indices([point.cost for point in points], [sign * point.value for point in points])


@drawn
def accuracy_cost_figure(
    points: Sequence[CostPoint], about: CostAxes, title: str, path: Path, mark: str | None = None
) -> Path:
    """Draw each point with its number, the front as a line, and below it the names by number (PNG and SVG)."""
    front = front_of(points, about.maximize)
    order = [*front, *(i for i in _by_value(points, about.maximize) if i not in front)]
    shown = order if len(points) <= MAX_NAMED else front[:MAX_NAMES_ON_FRONT]
    names = [named(points[i].name, MAX_SCENARIO_NAME) for i in shown]
    columns = 1 if len(names) < 5 or max(map(len, names)) > HALF_LINE else 2
    lines = -(-(len(shown) + 1) // columns)
    figure, axes = new_figure(7.2, 3.6 + LEGEND_LINE_INCHES * lines)
    cheap_to_dear = [points[i] for i in front]
    axes.step([p.cost for p in cheap_to_dear], [p.value for p in cheap_to_dear], where="post", color="tab:red", lw=1)
    for index in reversed(order):
        point, colour = points[index], "tab:red" if index in front else "tab:gray"
        if len(points) <= MAX_NAMED and point.sd:
            axes.errorbar([point.cost], [point.value], [point.sd], color=colour, lw=0.8, alpha=0.4)
        axes.plot([point.cost], [point.value], "o", ms=5, color=colour)
    for number, index in enumerate(shown, start=1):
        point = points[index]
        axes.annotate(str(number), (point.cost, point.value), (4, 3), textcoords="offset points", fontsize=8)
    _scale(axes, [point.cost for point in points])
    axes.margins(x=0.08)
    axes.set(xlabel=about.cost, ylabel=about.metric, title=titled(title, 80))
    figure.legend(handles=[*_legend(points, front, shown)], loc="outside lower center", ncols=columns, fontsize=8)
    return save(figure, path, vector=True, mark=mark)


def _by_value(points: Sequence[CostPoint], maximize: bool) -> list[int]:
    """The indices from the best value to the worst."""
    return sorted(range(len(points)), key=lambda i: points[i].value, reverse=maximize)


def _legend(points: Sequence[CostPoint], front: Sequence[int], shown: Sequence[int]) -> Iterator[Line2D]:
    yield Line2D([], [], color="tab:red", lw=1, label="front: no scenario is cheaper and better")
    for number, index in enumerate(shown, start=1):
        colour = "tab:red" if index in front else "tab:gray"
        name = named(points[index].name, MAX_SCENARIO_NAME)
        yield Line2D([], [], color=colour, marker="o", ms=5, ls="", label=f"{number}  {name}")


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers at its ticks; linear near 0, where something costs nothing."""
    least, most = min(cost for cost in costs if cost > 0), max(costs)
    if min(costs) > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=least)
    near, decades = most < DECADE * least, np.log10(most / least)
    axes.xaxis.set_major_locator(MaxNLocator(5) if near else LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
