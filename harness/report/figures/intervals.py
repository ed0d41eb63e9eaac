"""Figures of values with their intervals."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from harness.report.figures.drawing import MAX_SCENARIO_NAME, drawn, named, new_figure, row_labels, save, titled
from harness.report.numbers.comparisons import OUT_OF_FOLD
from harness.report.numbers.records import Estimate

MAX_ROWS = 30
MAX_CLASSES, WORST_CLASSES = 4, 3  # a panel each; of more classes the worst


@drawn
def interval_figure(estimates: Sequence[Estimate], title: str, path: Path, mark: str | None = None) -> Path:
    """Draw a row for each metric, a point with its interval for each subject (PNG and SVG)."""
    subjects = list(dict.fromkeys(e.subject for e in estimates))
    labels = list(dict.fromkeys(_label(e) for e in estimates))
    figure, axes = new_figure(6.4, 1.2 + 0.42 * len(labels) + 0.17 * len(subjects))
    for number, subject in enumerate(subjects):
        shift = 0.22 * (number - (len(subjects) - 1) / 2)
        for e in (e for e in estimates if e.subject == subject):
            assert e.low is not None and e.high is not None
            y = labels.index(_label(e)) + shift
            axes.plot([e.low, e.high], [y, y], color=f"C{number}")
            axes.plot(
                [e.value],
                [y],
                "o",
                color=f"C{number}",
                label=named(subject, MAX_SCENARIO_NAME) if _label(e) == labels[0] else None,
            )
    axes.set(yticks=range(len(labels)), yticklabels=labels, title=titled(title, 70), xlabel="95 % interval")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    figure.legend(loc="outside lower center", fontsize=8)
    return save(figure, path, vector=True, mark=mark)


@drawn
def scenario_intervals(
    estimates: Sequence[Estimate], names: Sequence[str], title: str, path: Path, mark: str | None = None
) -> Path:
    """Draw a row for each scenario, a panel for accuracy and one for each ROC AUC, out of fold (PNG and SVG).

    names: of the scenarios; the best accuracy is on top.
    """
    return save(draw_scenario_intervals(estimates, names, title), path, vector=True, mark=mark)


def draw_scenario_intervals(estimates: Sequence[Estimate], names: Sequence[str], title: str) -> Figure:
    """The figure of intervals of scenarios."""
    shown = ("accuracy", "roc_auc")
    found = [e for e in estimates if e.subject in names and e.on == OUT_OF_FOLD and e.metric in shown]
    panels = _panels(found)
    ranked = sorted((e for e in found if e.metric == "accuracy"), key=lambda e: e.value)
    rows = [e.subject for e in ranked][-MAX_ROWS:]
    labels, wider, higher = row_labels(rows)
    size = (1.8 + wider + 2.6 * len(panels), max(1.6, 0.9 + 0.28 * higher * len(rows)))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for panel, label in zip(axes[0], panels, strict=True):
        for e in (e for e in found if _label(e) == label and e.subject in rows):
            y = rows.index(e.subject)
            if e.interval is not None:
                panel.plot(e.interval, [y, y], color="C0")
            panel.plot([e.value], [y], "o", color="C0", markersize=4)
        panel.set(
            yticks=range(len(rows)),
            yticklabels=labels,
            xlabel=label,
            ylim=(-0.6, len(rows) - 0.4),
        )
    figure.suptitle(titled(title, 70))
    return figure


def worst_classes(found: Sequence[Estimate]) -> list[str]:
    """The classes whose areas have a panel: all of a few, of more those with the smallest mean area."""
    areas: dict[str, list[float]] = {}
    for e in found:
        if e.of_class and e.metric == "roc_auc":
            areas.setdefault(e.of_class, []).append(e.value)
    if len(areas) <= MAX_CLASSES:
        return list(areas)
    return sorted(areas, key=lambda name: sum(areas[name]) / len(areas[name]))[:WORST_CLASSES]


def _panels(found: Sequence[Estimate]) -> list[str]:
    """The labels of the panels in their order."""
    worst = worst_classes(found)
    return list(dict.fromkeys(_label(e) for e in found if e.of_class is None or e.of_class in worst))


def _label(e: Estimate) -> str:
    return f"{e.metric}, {named(e.of_class)}" if e.of_class else e.metric
