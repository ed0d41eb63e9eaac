"""The figures of a study, from stored results alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from harness.data.dataset import Dataset
from harness.report.figures.drawing import MAX_SCENARIO_NAME, drawn, named, new_figure, plain_figure, save, titled
from harness.report.numbers.predictions import by_repeat
from harness.report.tables.study import confusion_table
from harness.stats.arrays import arrays
from harness.stats.metrics import equal_mass_bins
from harness.store.results import FoldRecord
from harness.study.scenario_state import ScenarioState

LEGEND_LINE_INCHES = 0.18
INK = "#111111"  # text on a coloured area: pure black would be replaced by the text colour of the page


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
    columns = 1 if len(scenarios) < 5 else 2
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
def confusion_figure(
    frame: pd.DataFrame, title: str, path: Path, vector: bool = False, mark: str | None = None
) -> Path:
    """Draw the confusion matrix with counts (their means over several repeats) and shares of each true class."""
    return save(draw_confusion(frame, title), path, vector, mark)


def draw_confusion(frame: pd.DataFrame, title: str) -> Figure:
    """The figure of a confusion matrix."""
    table = confusion_table(frame)
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


@drawn
def roc_figure(
    frame: pd.DataFrame, positive: str | None, title: str, path: Path, vector: bool = False, mark: str | None = None
) -> Path:
    """Draw the ROC curve of the positive class, or of every class against the rest, one for each repeat."""
    return save(draw_roc(frame, positive, title), path, vector, mark)


def draw_roc(frame: pd.DataFrame, positive: str | None, title: str) -> Figure:
    """The figure of ROC curves."""
    figure, (axes,) = plain_figure(title)
    for number, name, in_class, score in _against_rest(frame, positive):
        false, true, _ = roc_curve(in_class, score)
        axes.plot(false, true, label=name, color=f"C{number}")
    axes.plot([0, 1], [0, 1], color="gray", lw=0.8, ls=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.legend()
    return figure


@drawn
def pr_figure(
    frame: pd.DataFrame, positive: str | None, title: str, path: Path, vector: bool = False, mark: str | None = None
) -> Path:
    """Draw precision against recall of the positive class, or of every class, with its share as the baseline.

    A curve for each repeat.
    """
    return save(draw_pr(frame, positive, title), path, vector, mark)


def draw_pr(frame: pd.DataFrame, positive: str | None, title: str) -> Figure:
    """The figure of precision-recall curves."""
    figure, (axes,) = plain_figure(title)
    for number, name, in_class, score in _against_rest(frame, positive):
        precision, recall, _ = precision_recall_curve(in_class, score)
        axes.plot(recall, precision, label=name, color=f"C{number}")
        axes.axhline(in_class.mean(), color=f"C{number}", lw=0.8, ls=":")
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    axes.legend()
    return figure


def _against_rest(
    frame: pd.DataFrame, positive: str | None
) -> Iterator[tuple[int, str | None, np.ndarray, np.ndarray]]:
    """For every class shown, in each repeat: its number, its name (in the first only), its images, and its scores."""
    for repeat, part in enumerate(by_repeat(frame)):
        classes, probabilities, labels = arrays(part)
        for number, name in enumerate([positive] if positive else classes):
            in_class = labels == classes.index(name)
            if in_class.any() and not in_class.all():
                yield number, None if repeat else named(name), in_class, probabilities[:, classes.index(name)]


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
