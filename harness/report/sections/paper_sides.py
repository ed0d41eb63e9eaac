"""A paper's number and ours side by side: what both are read from, and the rows of the tables."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.report.draft import Draft
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.records import Estimate
from harness.report.numbers.statistics import selected_test
from harness.report.tables.export import export_table
from harness.stats.proportions import Bounded, difference_of
from harness.study.paper import Published

Lines = list[str]


@dataclass(frozen=True)
class Sides:
    """The paper's numbers and ours."""

    published: Published
    draft: Draft

    @property
    def ours_on_test(self) -> list[Estimate]:
        """The estimates of the selected scenario on the test set; empty where it is not scored."""
        ours = selected_test(self.draft.state)
        return self.on_test(ours.name) if ours else []

    def on_test(self, subject: str) -> list[Estimate]:
        """The estimates of this scenario on the test set."""
        return [e for e in self.draft.statistics.estimates if (e.on, e.subject) == (TEST, subject)]


def compared(quantity: str, paper: Estimate | None, ours: Estimate | None, why: str) -> dict[str, Any]:
    """A row: the paper's value, ours, ours minus theirs with an interval where both have one, and our run.

    The interval is from both: that of ours is over patients where they are known, that of the paper is over images.
    """
    row: dict[str, Any] = {
        "quantity": quantity,
        "paper": paper.value if paper else None,
        "ours": ours.value if ours else None,
        "our low": ours.interval[0] if ours and ours.interval else None,
        "our high": ours.interval[1] if ours and ours.interval else None,
    }
    if paper and ours:
        row["difference"] = ours.value - paper.value
        if paper.interval and ours.interval:
            both = Bounded(ours.value, *ours.interval), Bounded(paper.value, *paper.interval)
            row["difference low"], row["difference high"] = difference_of(*both)
    row["MLflow run"] = ours.run_id if ours else None
    row["missing"] = why if not (paper and ours) else None
    row["mark"] = ours.mark if ours else None
    return row


NUMBERS = ("paper", "ours", "our low", "our high", "difference", "difference low", "difference high")


def export_rows(rows: list[dict[str, Any]], sides: Sides, name: str) -> Lines:
    table = pd.DataFrame(rows)
    table = table.astype({column: float for column in NUMBERS if column in table})
    every = sides.draft.marks.every
    table["mark"] = [row.get("mark") or every for row in rows]
    filled = [c for c in table if c in ("paper", "ours") or table[c].notna().any()]
    return export_table(table[filled], sides.draft.folder, name)
