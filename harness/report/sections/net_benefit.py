"""The net benefit of acting on predictions, against treating all and none, by threshold."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.report.figures.drawing import drawn, new_figure, save, titled
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.decision_curve import CURVE, NET_BENEFIT, OF_ALL
from harness.report.numbers.records import Estimate
from harness.report.sections.out_of_fold import Predicted
from harness.report.tables.export import export_table

COLUMNS = {NET_BENEFIT: "net benefit", OF_ALL: "of treating all"}


def decision_lines(estimates: Sequence[Estimate], predicted: Predicted, title: str, unit: str) -> list[str]:
    """Write the table and the figure of each set of images to the folder; return the section in Markdown.

    unit: what was resampled, in words. Empty where there are not two classes.
    """
    subject, key, found = predicted.scenario.name, predicted.scenario.id, []
    for name, on in (("", TEST), ("-folds", OUT_OF_FOLD)):
        table = decision_table([e for e in estimates if (e.subject, e.on) == (subject, CURVE + on)])
        if table.empty:
            continue
        path = predicted.folder / f"decision{name}-{key}.png"
        _figure(table, f"decision curve, {on}: {title}", path, predicted.mark)
        if predicted.mark:
            table["mark"] = predicted.mark
        exported = export_table(table, predicted.folder, f"decision{name}-{key}")
        found += [*(exported if on == TEST else []), f"![decision curve, {on}]({path.name})", ""]
    if not found:
        return []
    return [
        "**Net benefit.** Of acting on a prediction from a threshold on: positives found, less the negatives treated"
        " at the odds of the threshold, by the number of all predictions (Vickers & Elkin 2006). A model is of use"
        " where its curve is above both treating all and treating none, which is 0. Figures: of the test set, then"
        f" out of fold; the table is of the test set. Bands: 95 % by resampling {unit}.",
        "",
        *found,
    ]


def decision_table(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """A row for each threshold: the net benefit with its interval, and that of treating all."""
    rows: dict[float, dict[str, object]] = {}
    for e in estimates:
        if e.at is not None:
            row = rows.setdefault(e.at, {"threshold": e.at})
            row[COLUMNS[e.metric]] = e.value
            if e.metric == NET_BENEFIT:
                row |= {"low": e.bootstrap_low, "high": e.bootstrap_high}
    return pd.DataFrame(rows.values())


@drawn
def _figure(table: pd.DataFrame, title: str, path: Path, mark: str | None) -> Path:
    """Draw the net benefit with its band, and those of treating all and none (PNG and SVG)."""
    figure, axes = new_figure(5.6, 3.6)
    axes.plot(table["threshold"], table["net benefit"], label="by the model")
    low, high = (table[name].astype(float) for name in ("low", "high"))
    axes.fill_between(table["threshold"], low, high, alpha=0.25, lw=0)
    axes.plot(table["threshold"], table["of treating all"], label="treating all", ls="--")
    axes.axhline(0, color="gray", lw=0.8, label="treating none")
    top = max(float(table["net benefit"].max()), 0.0)
    axes.set(xlabel="treated from this probability on", ylabel="net benefit", title=titled(title, 56), xlim=(0, 1),
             ylim=(-0.25 * (top or 1), 1.15 * (top or 1)))  # fmt: skip
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return save(figure, path, vector=True, mark=mark)
