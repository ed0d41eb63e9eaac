"""The figures of a search as PNG, from a table of its trials; drawn by matplotlib, so that no browser is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, MaxNLocator
from numpy.typing import NDArray

from harness.report.figures.drawing import drawn, named, new_figure, save

# The table has the columns trial, state, value (NaN unless complete), partial (the mean over the folds fitted),
# cost where there is one, and one for each parameter (None where it was not active).


@drawn
def history_figure(table: pd.DataFrame, metric: str, maximize: bool, path: Path, mark: str | None = None) -> Path:
    """Draw the value of every trial, pruned ones at their last mean, and the best so far."""
    figure, axes = new_figure(7.2, 3.6)
    complete, pruned = table[table["state"] == "complete"], table[table["state"] == "pruned"]
    axes.plot(complete["trial"], complete["value"], "o", ms=4, label="complete")
    if len(pruned):
        axes.plot(pruned["trial"], pruned["partial"], "x", ms=4, color="tab:gray", label="pruned, mean so far")
    best = complete["value"].cummax() if maximize else complete["value"].cummin()
    axes.step(complete["trial"], best, where="post", color="tab:red", label="best so far")
    axes.set(xlabel="trial", ylabel=metric, title="history")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return save(figure, path, mark=mark)


@drawn
def importances_figure(importances: Mapping[str, float], evaluator: str, path: Path, mark: str | None = None) -> Path:
    """Draw the share of the variance that each parameter explains."""
    figure, axes = new_figure(5.4, 0.9 + 0.4 * len(importances))
    names = list(importances)[::-1]
    bars = axes.barh(names, [importances[name] for name in names])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="share of the variance", xlim=(0, 1.1), title=f"importance of the parameters ({evaluator})")
    axes.grid(False, axis="y")
    return save(figure, path, mark=mark)


@drawn
def curves_figure(
    curves: Sequence[tuple[str, Sequence[float]]], metric: str, path: Path, mark: str | None = None
) -> Path:
    """Draw the running mean over the folds of each trial, coloured by its state; pruned ones end early."""
    figure, axes = new_figure(6.0, 3.6)
    shown: set[str] = set()
    for state, means in curves:
        colour = {"complete": "tab:blue", "pruned": "tab:gray"}.get(state, "tab:red")
        label = None if state in shown else state
        shown.add(state)
        axes.plot(range(1, len(means) + 1), means, marker=".", color=colour, alpha=0.5, lw=0.9, label=label)
    axes.set(xlabel="folds", ylabel=f"mean {metric} so far", title="intermediate values")
    axes.set_xticks(range(1, max((len(means) for _, means in curves), default=1) + 1))
    axes.legend()
    return save(figure, path, mark=mark)


@drawn
def slice_figure(
    table: pd.DataFrame, parameters: Mapping[str, bool], metric: str, path: Path, mark: str | None = None
) -> Path:
    """Draw the value of the complete trials against each parameter. parameters: name -> log scale."""
    complete = table[table["state"] == "complete"]
    columns = min(3, len(parameters))
    rows = -(-len(parameters) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.8 * rows), layout="constrained", sharey=True, squeeze=False
    )
    for axes, (name, log) in zip(panels.flat, parameters.items(), strict=False):
        active = complete[complete[name].notna()]
        position, labels = _positions(active[name])
        points = axes.scatter(
            position, active["value"], c=active["trial"].to_numpy(), cmap="viridis", s=16, vmin=0, vmax=len(table) - 1
        )
        _label(axes, labels, log)
        axes.set(xlabel=name)
        if axes in panels[:, 0]:
            axes.set(ylabel=metric)
    for axes in list(panels.flat)[len(parameters) :]:
        axes.set_visible(False)
    figure.colorbar(points, ax=panels, label="trial", shrink=0.8)
    return save(figure, path, mark=mark)


@drawn
def parallel_figure(
    table: pd.DataFrame, parameters: Mapping[str, bool], metric: str, path: Path, mark: str | None = None
) -> Path:
    """Draw a line for each complete trial across its parameters, coloured by its value."""
    complete = table[table["state"] == "complete"].sort_values("value")
    figure, axes = new_figure(1.8 * len(parameters) + 2, 3.8)
    heights = np.full((len(complete), len(parameters)), np.nan)
    for column, (name, log) in enumerate(parameters.items()):
        active = complete[name].notna().to_numpy()
        position, labels = _positions(complete[name][active])
        scaled = np.log10(position) if log else position
        low, high = (scaled.min(), scaled.max()) if len(scaled) else (0.0, 1.0)
        heights[active, column] = (scaled - low) / (high - low) if high > low else 0.5
        ends = labels or [f"{10**v:.3g}" if log else f"{v:.3g}" for v in (low, high)]
        for place, text in zip(np.linspace(0, 1, len(ends)) if len(ends) > 1 else [0.5], ends, strict=True):
            axes.annotate(text, (column, place), xytext=(4, 3), textcoords="offset points", fontsize=7)
    colours = plt.get_cmap("viridis")(np.linspace(0, 1, max(2, len(complete))))
    for row, colour in zip(heights, colours, strict=False):
        there = ~np.isnan(row)
        axes.plot(np.flatnonzero(there), row[there], color=colour, lw=0.9, marker=".", alpha=0.8)
    axes.set_xticks(range(len(parameters)), list(parameters))
    axes.set(yticks=[], title=f"complete trials; the lighter, the higher their {metric}")
    axes.margins(x=0.12)
    return save(figure, path, mark=mark)


@drawn
def pareto_figure(
    table: pd.DataFrame, front: Sequence[int], metric: str, cost: str, path: Path, mark: str | None = None
) -> Path:
    """Draw value against cost of the complete trials. front: the trials that no other beats in both."""
    figure, axes = new_figure(5.4, 3.8)
    complete = table[table["state"] == "complete"]
    best = complete[complete["trial"].isin(front)].sort_values("cost")
    axes.plot(complete["cost"], complete["value"], "o", ms=4, color="tab:gray", label="trials")
    axes.plot(best["cost"], best["value"], "o-", ms=5, color="tab:red", label="Pareto front")
    axes.set(xlabel=cost, ylabel=metric, title=f"{metric} against {cost}")
    axes.legend()
    return save(figure, path, mark=mark)


def _positions(values: "pd.Series[Any]") -> tuple[NDArray[np.float64], list[str]]:
    """The positions of values on an axis, and the tick labels where the values are not numbers."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return values.to_numpy(np.float64), []
    words = [str(value) for value in values]
    labels = sorted(set(words))
    return np.array([labels.index(word) for word in words], dtype=np.float64), [named(label) for label in labels]


def _label(axes: Axes, labels: list[str], log: bool) -> None:
    if labels:
        axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right")
        axes.margins(x=0.3)
    elif log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())  # the default one writes powers as mathematical text
        axes.xaxis.set_minor_formatter(LogFormatter())
