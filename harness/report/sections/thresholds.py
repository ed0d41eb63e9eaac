"""The decision threshold: chosen on out-of-fold predictions, and only then applied to the test set."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.report.figures.drawing import drawn, new_figure, save, titled
from harness.report.numbers.predictive_numbers import PREDICTIVE
from harness.report.numbers.records import Estimate
from harness.report.numbers.threshold_numbers import COLUMNS, DEFAULT_THRESHOLD, OPERATING, POINT, SWEEP, point_words
from harness.report.sections.out_of_fold import Predicted
from harness.report.tables.estimate_table import estimate_table
from harness.report.tables.export import export_table


def threshold_lines(estimates: Sequence[Estimate], predicted: Predicted, title: str) -> list[str]:
    """Write the tables and the figure of one scenario's sweep to the folder, and return its section in Markdown."""
    subject, key = predicted.scenario.name, predicted.scenario.id
    folder, mark = predicted.folder, predicted.mark
    sweep = [e for e in estimates if (e.subject, e.on) == (subject, SWEEP)]
    tested = [e for e in estimates if (e.subject, e.on) == (subject, OPERATING)]
    if not sweep:
        return []
    chosen = next(e for e in sweep if e.metric == POINT)
    point = chosen.value
    table = sweep_table(sweep, point)
    _figure(table, point, f"thresholds, out of fold: {title}", folder / f"thresholds-{key}.png", mark)
    if mark:
        table["mark"] = mark
    applied = [
        f"On the test set, next to the default of {DEFAULT_THRESHOLD}:",
        "",
        *export_table(estimate_table(tested), folder, f"thresholds-test-{key}"),
    ]
    return [
        f"**Operating point: {point:.3f}.** The {point_words(chosen.method)} over the out-of-fold"
        f" predictions{' of patients' * predicted.unit.patients}; the test set was not used for it.",
        "",
        *export_table(table, folder, f"thresholds-{key}"),
        f"![thresholds](thresholds-{key}.png)",
        "",
        *(applied if tested else []),
        *_predictive_lines([e for e in estimates if (e.subject, e.on) == (subject, PREDICTIVE)], predicted),
    ]


def _predictive_lines(found: Sequence[Estimate], predicted: Predicted) -> list[str]:
    """The table of predictive values; empty where nothing was scored on the test set."""
    if not found:
        return []
    positives = predicted.frame["label"] == found[0].of_class
    rows = [
        {
            "metric": e.metric,
            "prevalence": positives.mean() if e.at is None else e.at,
            "prevalence of": "test set" if e.at is None else "study file",
            "k/n": f"{e.hits}/{e.n}" if e.at is None else "",
            "value": e.value,
            "low": e.low,
            "high": e.high,
            "mark": e.mark,
        }
        for e in found
    ]
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    return [
        f"Predictive values at the operating point, for {found[0].of_class}: as counted on the test set and, where the"
        " study file declares prevalences, at these by Bayes' rule, with intervals from those of sensitivity and"
        " specificity (MOVER; Donner & Zou 2012).",
        "",
        *export_table(table, predicted.folder, f"predictive-values-{predicted.scenario.id}"),
    ]


def sweep_table(sweep: Sequence[Estimate], point: float) -> pd.DataFrame:
    """A row for each threshold, the operating point included and marked."""
    rows: dict[float, dict[str, object]] = {}
    for e in sweep:
        if e.at is not None:
            rows.setdefault(e.at, {"threshold": e.at})[COLUMNS[e.metric]] = e.value
    table = pd.DataFrame(rows.values())[["threshold", *COLUMNS.values()]]
    table["operating point"] = ["operating point" if t == point else "" for t in table["threshold"]]
    return table


@drawn
def _figure(table: pd.DataFrame, point: float, title: str, path: Path, mark: str | None) -> Path:
    """Draw sensitivity, specificity and balanced accuracy by threshold, the operating point as a line (PNG and SVG)."""
    figure, axes = new_figure(5.6, 3.6)
    for column in ("sensitivity", "specificity", "balanced accuracy"):
        axes.plot(table["threshold"], table[column], label=column, marker=".")
    axes.axvline(point, color="gray", lw=0.8, ls="--", label=f"operating point {point:.3f}")
    axes.set(xlabel="predicted positive from this probability on", ylabel="share", title=titled(title, 56), xlim=(0, 1))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return save(figure, path, vector=True, mark=mark)
