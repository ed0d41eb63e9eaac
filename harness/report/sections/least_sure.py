"""The section on referring the least sure images."""

from collections.abc import Sequence

import pandas as pd

from harness.report.numbers.records import Estimate
from harness.report.numbers.referral import DISTANCE, RATES, REFERRED, SHARE_REFERRED
from harness.report.numbers.threshold_numbers import COLUMNS
from harness.report.sections.out_of_fold import Predicted
from harness.report.tables.estimate_table import interval_cell
from harness.report.tables.export import export_table


def referral_lines(estimates: Sequence[Estimate], predicted: Predicted) -> list[str]:
    """Write the table of one scenario to the folder; return the section in Markdown.

    Empty where there are not two classes.
    """
    found = [e for e in estimates if (e.subject, e.on) == (predicted.scenario.name, REFERRED)]
    if not found:
        return []
    one, rows = "A patient" if predicted.unit.patients else "An image", predicted.unit.plural
    return [
        f"**Referring the least sure.** {one} is referred where its probability is nearer to the"
        f" operating point than a distance, below which a share of the out-of-fold predictions lies. On the test set:"
        f" the share of {rows} that this refers, and the rates of the others, with 95 % intervals.",
        "",
        *export_table(referral_table(found), predicted.folder, f"referred-{predicted.scenario.id}"),
    ]


def referral_table(found: Sequence[Estimate]) -> pd.DataFrame:
    """A row for each share that is referred out of fold."""
    rows: dict[float, dict[str, object]] = {}
    for e in found:
        row = rows.setdefault(e.at or 0.0, {"referred out of fold": e.at})
        row[COLUMNS.get(e.metric, e.metric)] = e.value if e.metric == DISTANCE else interval_cell(e)
        row |= {"mark": e.mark} if e.mark else {}
    names = ("referred out of fold", DISTANCE, SHARE_REFERRED, *(COLUMNS[name] for name in RATES), "mark")
    table = pd.DataFrame(rows.values())
    return table[[name for name in names if name in table]]
