"""The section on calibration: accuracy against confidence, in bins of equal mass."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.report.figures.drawing import SQUARE_TITLE_WIDTH, drawn, new_figure, save, titled
from harness.report.numbers.recalibration import RECALIBRATED
from harness.report.numbers.records import Estimate
from harness.report.numbers.reliability_numbers import RELIABILITY
from harness.report.sections.out_of_fold import Predicted
from harness.report.tables.estimate_table import estimate_table
from harness.report.tables.export import export_table


def reliability_lines(estimates: Sequence[Estimate], predicted: Predicted, title: str) -> list[str]:
    """Write the table and the figure of one scenario's reliability to the folder; return its section in Markdown."""
    subject, key = predicted.scenario.name, predicted.scenario.id
    folder, mark = predicted.folder, predicted.mark
    found = [e for e in estimates if e.subject == subject and e.on.startswith(RELIABILITY)]
    if not found:
        return []
    _figure(found, f"reliability: {title}", folder / f"reliability-{key}.png", mark)
    return [
        "Reliability: the mean confidence and the accuracy in bins of equal mass; on the dotted line they are equal.",
        "",
        *export_table(
            estimate_table([e.model_copy(update={"subject": e.on}) for e in found]), folder, f"reliability-{key}"
        ),
        f"![reliability](reliability-{key}.png)",
        "",
        *_recalibration_lines([e for e in estimates if e.subject == subject], predicted),
    ]


def _recalibration_lines(estimates: Sequence[Estimate], predicted: Predicted) -> list[str]:
    """The table of intercept, slope and O/E; empty where there are not two classes."""
    found = [e for e in estimates if e.on.startswith(RECALIBRATED)]
    if not found:
        return []
    table = estimate_table([e.model_copy(update={"subject": e.on}) for e in found])
    return [
        f"Calibration of the probability of {found[0].of_class}: intercept, above 0 where it is too low on the whole;"
        " slope, below 1 where probabilities are too extreme; O/E, the observed positives by the expected ones (Cox"
        " 1958; Van Calster et al. 2019).",
        "",
        *export_table(table, predicted.folder, f"calibration-{predicted.scenario.id}"),
    ]


@drawn
def _figure(found: Sequence[Estimate], title: str, path: Path, mark: str | None) -> Path:
    """Draw accuracy with its interval against confidence, a line for each set of images (PNG and SVG)."""
    figure, axes = new_figure(4.6, 4.2)
    lowest = min(e.low for e in found if e.low is not None)
    axes.plot([lowest, 1], [lowest, 1], color="gray", lw=0.8, ls=":")
    for number, on in enumerate(dict.fromkeys(e.on for e in found)):
        bins = [e for e in found if e.on == on]
        table = pd.DataFrame([e.model_dump(include={"at", "value", "low", "high"}) for e in bins])
        ends = [table["value"] - table["low"], table["high"] - table["value"]]
        axes.errorbar(table["at"], table["value"], yerr=ends, marker="o", capsize=2, color=f"C{number}", label=on)
    axes.set(
        xlabel="mean confidence of the bin", ylabel="accuracy, 95 % interval", title=titled(title, SQUARE_TITLE_WIDTH)
    )
    figure.legend(loc="outside lower center", fontsize=8)
    return save(figure, path, vector=True, mark=mark)
