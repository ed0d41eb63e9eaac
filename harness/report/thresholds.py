"""The decision threshold: swept and fixed on out-of-fold predictions, and only then applied to the test set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from harness.report.drawing import drawn, new_figure, save, titled
from harness.report.estimates import Matrix, from_confusion, over_repeats
from harness.report.export import export_table
from harness.report.predicted import Predicted
from harness.report.schema import Estimate
from harness.report.statistics_tables import estimate_table
from harness.report.tables import arrays, by_repeat

SWEEP = "threshold sweep, out of fold"
OPERATING = "test set, by threshold"
GRID = tuple(float(t) for t in np.linspace(0.05, 0.95, 19).round(2))
POINT = "operating point"
USUAL = 0.5  # of two classes, the one that is more probable
COLUMNS = {
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
}


def operating_point(out_of_fold: pd.DataFrame, positive: str) -> float:
    """The threshold of the best balanced accuracy (Youden 1950) on these predictions, never on the test set's.

    Of several repeats it is one threshold for all, with the best mean over them: that of their rows together, as every
    repeat has the same images.
    """
    rows = pd.concat(by_repeat(out_of_fold))
    actual, scores = (rows["label"] == positive).to_numpy(), rows[f"prob_{positive}"].to_numpy(np.float64)
    false, true, cuts = roc_curve(actual, scores)
    best = int(np.argmax(true - false))
    return float(cuts[best]) if np.isfinite(cuts[best]) else USUAL  # no cut is better than chance


def threshold_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame | None, positive: str | None, subject: str, run_id: str | None
) -> list[Estimate]:
    """The sweep over out-of-fold predictions, and the test set at the usual threshold and at the operating point.

    Empty where there are not two classes.
    """
    classes, _, _ = arrays(out_of_fold)
    if positive is None or len(classes) != 2:
        return []
    point = operating_point(out_of_fold, positive)
    found = [Estimate(subject=subject, on=SWEEP, metric=POINT, of_class=positive, value=point, method="Youden's J")]
    for threshold in sorted({*GRID, point}):
        found += _at(out_of_fold, threshold, positive, subject, SWEEP)
    for threshold in (USUAL, point) if test is not None else ():
        assert test is not None
        found += _at(test, threshold, positive, subject, OPERATING)
    return [e.model_copy(update={"run_id": run_id}) for e in found]


def _at(frame: pd.DataFrame, threshold: float, positive: str, subject: str, on: str) -> list[Estimate]:
    """The rates of the positive class, and those of all classes, at one threshold."""
    classes, _, _ = arrays(frame)
    each = [matrix_at(part, threshold, positive) for part in by_repeat(frame)]
    found = over_repeats([from_confusion(matrix, classes, subject, on) for matrix in each])
    wanted = [e for e in found if e.metric in COLUMNS and e.of_class in (None, positive)]
    return [e.model_copy(update={"at": threshold}) for e in wanted]


def matrix_at(frame: pd.DataFrame, threshold: float, positive: str) -> Matrix:
    """The confusion matrix [true, called] where an image is called positive from this probability on."""
    classes, probabilities, labels = arrays(frame)
    index = classes.index(positive)
    called: NDArray[np.int64] = np.where(probabilities[:, index] >= threshold, index, 1 - index)
    return np.bincount(labels * 2 + called, minlength=4).reshape(2, 2)


def threshold_lines(estimates: Sequence[Estimate], predicted: Predicted, title: str) -> list[str]:
    """The sweep of one scenario in Markdown; its tables and its figure are written to the folder."""
    subject, key = predicted.scenario.name, predicted.scenario.id
    folder, mark = predicted.folder, predicted.mark
    sweep = [e for e in estimates if (e.subject, e.on) == (subject, SWEEP)]
    tested = [e for e in estimates if (e.subject, e.on) == (subject, OPERATING)]
    if not sweep:
        return []
    point = next(e.value for e in sweep if e.metric == POINT)
    table = sweep_table(sweep, point)
    _figure(table, point, f"thresholds, out of fold: {title}", folder / f"thresholds-{key}.png", mark)
    if mark:
        table["mark"] = mark
    applied = [
        f"Applied to the test set, beside the usual {USUAL}:",
        "",
        *export_table(estimate_table(tested), folder, f"thresholds-test-{key}"),
    ]
    return [
        f"**Operating point: {point:.3f}.** The threshold with the best balanced accuracy over the out-of-fold"
        " predictions; the test set had no part in it.",
        "",
        *export_table(table, folder, f"thresholds-{key}"),
        f"![thresholds](thresholds-{key}.png)",
        "",
        *(applied if tested else []),
    ]


def sweep_table(sweep: Sequence[Estimate], point: float) -> pd.DataFrame:
    """A row for each threshold, the operating point among them and marked."""
    rows: dict[float, dict[str, object]] = {}
    for e in sweep:
        if e.at is not None:
            rows.setdefault(e.at, {"threshold": e.at})[COLUMNS[e.metric]] = e.value
    table = pd.DataFrame(rows.values())[["threshold", *COLUMNS.values()]]
    table["operating point"] = ["operating point" if t == point else "" for t in table["threshold"]]
    return table


@drawn
def _figure(table: pd.DataFrame, point: float, title: str, path: Path, mark: str | None) -> Path:
    """A PNG and an SVG: sensitivity, specificity and balanced accuracy by threshold, the operating point as a line."""
    figure, axes = new_figure(5.6, 3.6)
    for column in ("sensitivity", "specificity", "balanced accuracy"):
        axes.plot(table["threshold"], table[column], label=column, marker=".")
    axes.axvline(point, color="gray", lw=0.8, ls="--", label=f"operating point {point:.3f}")
    axes.set(xlabel="called positive from this probability on", ylabel="share", title=titled(title, 56), xlim=(0, 1))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return save(figure, path, vector=True, mark=mark)
