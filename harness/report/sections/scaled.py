"""The smooth calibration curve, and what temperature scaling changes, out of fold and on the test set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harness.report.figures.drawing import SQUARE_TITLE_WIDTH, drawn, named, new_figure, save, titled
from harness.report.numbers.calibration_curve import SMOOTH
from harness.report.numbers.marks import marked
from harness.report.numbers.records import Estimate
from harness.report.numbers.scaled_numbers import FITTED, MEASURES, SCALED, TEMPERATURE
from harness.report.sections.out_of_fold import Predicted
from harness.report.tables.estimate_table import interval_cell
from harness.report.tables.export import export_table

WORDS = {"loss": "log loss", "brier": "Brier score", "ece": "ECE"}


def curve_lines(estimates: Sequence[Estimate], predicted: Predicted, title: str, unit: str) -> list[str]:
    """Draw the smooth curves of one scenario; return their lines. unit: what was resampled. Empty without a curve."""
    found = [e for e in estimates if e.subject == predicted.scenario.name and e.on.startswith(SMOOTH)]
    if not found:
        return []
    path = predicted.folder / f"smooth-calibration-{predicted.scenario.id}.png"
    _figure(found, f"smooth calibration: {title}", path, predicted.mark)
    return [
        f"![smooth calibration]({path.name})",
        "",
        f"*The share of {named(found[0].of_class or '')} by its predicted probability: a logistic regression on a"
        " restricted cubic spline of the log-odds (Harrell 2015), between the least and the largest percentile of the"
        f" probabilities. Bands: 95 % by resampling {unit}. On the dotted line probabilities are right.*",
        "",
    ]


@drawn
def _figure(found: Sequence[Estimate], title: str, path: Path, mark: str | None) -> Path:
    """Draw the curve and the band of each set of images (PNG and SVG)."""
    figure, axes = new_figure(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="gray", lw=0.8, ls=":")
    for number, on in enumerate(dict.fromkeys(e.on for e in found)):
        points = [e for e in found if e.on == on]
        at = [e.at or 0.0 for e in points]
        axes.plot(at, [e.value for e in points], color=f"C{number}", label=on.removeprefix(SMOOTH))
        low, high = np.array([e.interval or (e.value, e.value) for e in points]).T
        axes.fill_between(at, low, high, color=f"C{number}", alpha=0.2, lw=0)
    axes.set(
        xlabel=f"predicted probability of {named(found[0].of_class or '')}", ylabel="observed share", xlim=(0, 1),
        ylim=(0, 1), aspect="equal", title=titled(title, SQUARE_TITLE_WIDTH),
    )  # fmt: skip
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return save(figure, path, vector=True, mark=mark)


def scaling_lines(estimates: Sequence[Estimate], predicted: Predicted) -> list[str]:
    """Write the table of the scaling to the folder; return its lines. Empty where nothing was fitted."""
    own = [e for e in estimates if e.subject == predicted.scenario.name]
    fitted = [e for e in own if e.on == FITTED]
    if not fitted:
        return []
    rows: dict[str, dict[str, object]] = {}
    for e in own:
        if e.on.startswith(SCALED) and e.on != FITTED and e.metric in MEASURES:
            row = rows.setdefault(e.on, {"probabilities": e.on.removeprefix(SCALED)})
            row[WORDS.get(e.metric, e.metric)] = interval_cell(e)
    found = next(e.value for e in fitted if e.metric == TEMPERATURE)
    table = marked(pd.DataFrame(rows.values()), predicted.mark)
    return [
        f"Temperature scaling (Guo et al. 2017): the logits divided by {found:.3f}, the temperature of the least log"
        " loss out of fold; above 1 the model is too sure. With a shift of each class besides (Alexandari et al."
        " 2020), which takes in that other class shares were learnt. Out of fold each fold is scaled by what was fitted"
        " on the others, so no image takes part in its own scaling; the labels of the test set are used for nothing. No"
        " other number of this report is of scaled probabilities.",
        "",
        *export_table(table, predicted.folder, f"scaled-{predicted.scenario.id}"),
    ]
