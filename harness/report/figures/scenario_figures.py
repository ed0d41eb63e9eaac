"""The figures of a study, from stored results alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.data.dataset import Dataset
from harness.report.figures.class_curves import pr_figure, roc_figure
from harness.report.figures.confusion import confusion_figure
from harness.report.figures.drawing import (
    LABEL_WIDTH,
    MAX_SCENARIO_NAME,
    drawn,
    named,
    new_figure,
    plain_figure,
    save,
    titled,
)
from harness.report.numbers.predictions import by_repeat
from harness.stats.arrays import arrays
from harness.stats.metrics import equal_mass_bins
from harness.store.results import FoldRecord
from harness.study.scenario_state import ScenarioState

LEGEND_LINE_INCHES = 0.18


@drawn
def validation_curves(
    scenarios: Sequence[ScenarioState],
    metric: str,
    title: str,
    path: Path,
    vector: bool = False,
    mark: str | None = None,
) -> Path:
    """Draw the mean of a metric over the folds by epoch, a line and a band (the range) for each scenario."""
    return save(draw_validation_curves(scenarios, metric, title), path, vector, mark)


def draw_validation_curves(scenarios: Sequence[ScenarioState], metric: str, title: str) -> Figure:
    """The figure of a metric by epoch."""
    long = any(len(state.name) > LABEL_WIDTH for state in scenarios)
    columns = 1 if len(scenarios) < 5 or long else 2
    figure, axes = new_figure(7.2, 3.6 + LEGEND_LINE_INCHES * len(scenarios) / columns)
    for number, state in enumerate(scenarios):
        curves = _curves(list(state.records.values()), metric)
        if not curves.size:
            continue
        epochs = np.arange(1, curves.shape[1] + 1)
        style = "-" if number < 10 else "--"
        (line,) = axes.plot(epochs, curves.mean(axis=0), style, label=named(state.name, MAX_SCENARIO_NAME), marker=".")
        axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=line.get_color(), alpha=0.1, lw=0)
    axes.set(xlabel="epoch", ylabel=metric, title=titled(title, 80))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.lines:
        figure.legend(loc="outside lower center", ncols=columns, fontsize=8)
    return figure


@drawn
def learning_curves(records: Sequence[FoldRecord], title: str, path: Path, mark: str | None = None) -> Path:
    """Draw training and validation loss and accuracy by epoch, mean and range over the folds."""
    figure, panels = plain_figure(title, 7.2, 3.0, panels=2)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        for side, colour in (("train", "tab:gray"), ("val", "tab:blue")):
            curves = _curves(records, f"{side}/{name}")
            epochs = np.arange(1, curves.shape[1] + 1)
            axes.plot(epochs, curves.mean(axis=0), color=colour, label=side, marker=".")
            axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.15, lw=0)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend()
    return save(figure, path, mark=mark)


def _curves(records: Sequence[FoldRecord], metric: str) -> np.ndarray:
    """The values [folds, epochs] of a metric, as far as every fold was trained: some may have stopped before."""
    epochs = min(len(record.history) for record in records)
    return np.array([[epoch[metric] for epoch in record.history[:epochs]] for record in records])


@drawn
def calibration_figure(
    frame: pd.DataFrame, title: str, path: Path, vector: bool = False, mark: str | None = None
) -> Path:
    """Draw accuracy against confidence of the predicted class, in bins of equal mass, a line for each repeat."""
    return save(draw_calibration(frame, title), path, vector, mark)


def draw_calibration(frame: pd.DataFrame, title: str) -> Figure:
    """The figure of accuracy against confidence."""
    figure, (axes,) = plain_figure(title)
    low = 1 / len(arrays(frame)[0])
    axes.plot([low, 1], [low, 1], color="gray", lw=0.8, ls=":")
    for part in by_repeat(frame):
        _, probabilities, labels = arrays(part)
        confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        bins = equal_mass_bins(confidence)
        stated, true = [confidence[rows].mean() for rows in bins], [correct[rows].mean() for rows in bins]
        axes.plot(stated, true, marker="o", color="C0")
    axes.set(xlabel="confidence", ylabel="accuracy")
    return figure


def prediction_figures(
    frame: pd.DataFrame,
    positive: str | None,
    title: str,
    folder: Path,
    name: str = "{}",
    vector: bool = False,
    mark: str | None = None,
) -> list[Path]:
    """Draw the confusion matrix, ROC, precision-recall and calibration of one table of predictions.

    name: of the files, with {} for the figure's name.
    """
    paths = {kind: folder / f"{name.format(kind)}.png" for kind in ("confusion_matrix", "roc", "pr", "calibration")}
    repeats = len(by_repeat(frame))
    mean, title = (
        (f"{title}, mean of {repeats} repeats", f"{title}, {repeats} repeats") if repeats > 1 else (title, title)
    )
    return [
        confusion_figure(frame, mean, paths["confusion_matrix"], vector, mark),
        roc_figure(frame, positive, title, paths["roc"], vector, mark),
        pr_figure(frame, positive, title, paths["pr"], vector, mark),
        calibration_figure(frame, title, paths["calibration"], vector, mark),
    ]


def scenario_figures(
    state: ScenarioState, frame: pd.DataFrame, dataset: Dataset, folder: Path, title: str, mark: str | None
) -> list[Path]:
    """Draw the figures of one scenario, from its pooled out-of-fold predictions `frame`."""
    curves = learning_curves(list(state.records.values()), state.name, folder / "learning_curves.png", mark)
    return [*prediction_figures(frame, dataset.positive, f"out of fold, {title}", folder, mark=mark), curves]
