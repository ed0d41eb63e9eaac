"""The section on conformal sets of classes."""

from collections.abc import Sequence

import pandas as pd

from harness.report.numbers.conformal_numbers import CONFORMAL, COVERAGE, LEAST_PROBABILITY, ONE_CLASS, SIZE
from harness.report.numbers.records import Estimate
from harness.report.sections.out_of_fold import Predicted
from harness.report.tables.estimate_table import interval_cell
from harness.report.tables.export import export_table, marked_markdown, write_table

MAX_SHOWN = 4  # classes with columns of their own in the page


def conformal_lines(estimates: Sequence[Estimate], predicted: Predicted) -> list[str]:
    """Write the table of one scenario to the folder; return the section in Markdown."""
    found = [e for e in estimates if (e.subject, e.on) == (predicted.scenario.name, CONFORMAL)]
    if not found:
        return []
    one, rows = "a patient" if predicted.unit.patients else "an image", predicted.unit.plural
    return [
        f"**Conformal sets.** A class is in the set of {one} from a least probability on, which is found for each class"
        f" on the out-of-fold predictions, so that at least a wanted share of its {rows} have it (Sadinle, Lei &"
        f" Wasserman 2019). That holds for {rows} drawn as these were and predicted as they were; whether it does for"
        f" the model and the {rows} of the test set is measured there, with 95 % intervals.",
        "",
        *_table_lines(conformal_table(found), predicted),
    ]


def _table_lines(table: pd.DataFrame, predicted: Predicted) -> list[str]:
    """Write the table to the folder, and return it in Markdown; of many classes without the columns of each class."""
    name, common = f"conformal-{predicted.scenario.id}", ("wanted", COVERAGE, SIZE, ONE_CLASS, "mark")
    if len(table.columns) <= len(common) + 2 * MAX_SHOWN:
        return export_table(table, predicted.folder, name)
    write_table(table, predicted.folder, name)
    note = f"*Each class has its own least probability and coverage: {name}.csv.*"
    return [*marked_markdown(table[[column for column in common if column in table]]), note, ""]


def conformal_table(found: Sequence[Estimate]) -> pd.DataFrame:
    """A row for each coverage that is wanted."""
    rows: dict[float, dict[str, object]] = {}
    for e in found:
        row = rows.setdefault(e.at or 0.0, {"wanted": e.at})
        if e.metric in (COVERAGE, LEAST_PROBABILITY):
            row[f"{e.metric}, {e.of_class}"] = interval_cell(e)
        else:
            row[e.metric] = interval_cell(e)
        row |= {"mark": e.mark} if e.mark else {}
    table = pd.DataFrame(rows.values())
    last = [name for name in (SIZE, ONE_CLASS, "mark") if name in table]
    return table[[*(name for name in table if name not in last), *last]]
