"""The section on classes of unequal size: what each treatment did, beside moving the decision threshold."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from harness.report.draft import Draft
from harness.report.figures.drawing import drawn, row_labels, save, titled
from harness.report.numbers.records import Estimate
from harness.report.numbers.treatment_tests import QUESTION, SENTENCE
from harness.report.numbers.treatments import AREA, BALANCED, CORRECTED, ECE, MOVED, TREATED
from harness.report.tables.estimate_table import comparison_table, practical_note
from harness.report.tables.export import export_table
from harness.stats.calibration import SLOPE
from harness.study.stage import DEFAULT_MARGIN

COLUMNS = (BALANCED, MOVED, AREA, SLOPE, f"{SLOPE}{CORRECTED}", ECE, f"{ECE}{CORRECTED}")
PANELS = ((BALANCED, MOVED), (AREA,), (ECE, f"{ECE}{CORRECTED}"))  # hollow, filled
NOTE = (
    "Balanced accuracy and ROC AUC: the mean over the folds. Decision moved: of two classes to the threshold with the"
    " best balanced accuracy on the other folds of the repeat, of more by dividing the probability of each class by"
    " its share in training. Slope (1 where probabilities are neither too extreme nor too moderate) and ECE: of all"
    " folds together. Prior corrected: for the class shares of the training images as they were before resampling or"
    " weighting."
)


def treatment_lines(draft: Draft) -> list[str]:
    """Write the table, the tests and the figure to the folder, and return the section in Markdown.

    Empty where no scenario treats classes of unequal size.
    """
    found = [e for e in draft.statistics.estimates if e.on == TREATED]
    if not found:
        return []
    heading = draft.unit.titled("Classes of unequal size")
    mark = next((e.mark for e in found if e.mark), None)
    treatment_figure(
        found, f"{draft.study.study}: {heading[0].lower()}{heading[1:]}", draft.folder / "treatments.png", mark
    )
    compared = [c for c in draft.statistics.comparisons if c.on == TREATED]
    sentences = [f"- {f.text}." for f in draft.statistics.findings if f.kind == SENTENCE]
    return [
        f"## {heading}",
        "",
        *([QUESTION, "", *sentences, ""] if sentences else []),
        *export_table(_table(found), draft.folder, "treatments"),
        NOTE,
        "",
        "![balanced accuracy, ROC AUC and calibration error of each treatment](treatments.png)",
        "",
        *(export_table(comparison_table(compared), draft.folder, "treatment-comparisons") if compared else []),
        *([practical_note(DEFAULT_MARGIN), ""] if compared else []),
    ]


def _table(found: Sequence[Estimate]) -> pd.DataFrame:
    """A row for each scenario."""
    rows: dict[str, dict[str, object]] = {}
    for e in found:
        row = rows.setdefault(e.subject, {"scenario": e.subject})
        row |= {e.metric: e.value} | ({"mark": e.mark} if e.mark else {})
    table = pd.DataFrame(rows.values())
    return table[[name for name in ("scenario", *COLUMNS, "mark") if name in table]]


@drawn
def treatment_figure(found: Sequence[Estimate], title: str, path: Path, mark: str | None) -> Path:
    """Draw a row for each scenario: what it is without a treatment of the predictions, and with one (PNG and SVG)."""
    of = {(e.subject, e.metric): e.value for e in found}
    rows = list(dict.fromkeys(e.subject for e in found))[::-1]
    panels = [panel for panel in PANELS if any((row, panel[0]) in of for row in rows)]
    labels, wider, higher = row_labels(rows)
    size = (1.8 + wider + 2.6 * len(panels), max(1.8, 1.3 + 0.28 * higher * len(rows)))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, metrics in zip(axes[0], panels, strict=True):
        for y, row in enumerate(rows):
            values = [of[row, metric] for metric in metrics if (row, metric) in of]
            axis.plot(values, [y] * len(values), color="C0", lw=0.8)
            for number, value in enumerate(values):
                axis.plot([value], [y], "o", color="C0", fillstyle="full" if number == len(values) - 1 else "none")
        axis.set(
            yticks=range(len(rows)),
            yticklabels=labels,
            xlabel="\n".join([metrics[0], *(f"filled: {name.split(', ')[1]}" for name in metrics[1:])]),
            ylim=(-0.6, len(rows) - 0.4),
        )
    figure.suptitle(titled(title, 70))
    return save(figure, path, vector=True, mark=mark)
