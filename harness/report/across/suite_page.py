"""The page of a suite: models on data sets, their ranks, earlier rows as reference, and all rows as CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from harness.report.across.across_page import mark_lines, rank_lines, write_across
from harness.report.across.across_tables import without_empty_marks
from harness.report.across.ranked_models import RankedModels, ranked_cells
from harness.report.across.sides import StudySide
from harness.report.across.suite_rows import reference_table, suite_rows
from harness.report.tables.export import escaped, export_table
from harness.study.suite_file import Suite

ROWS_FILE = "rows.csv"


@dataclass(frozen=True)
class SuitePage:
    """What the page of a suite is about. ranked: or why not. failed: data set -> why. command: what made the rows."""

    suite: Suite
    sides: Sequence[StudySide]
    ranked: RankedModels | str
    failed: Mapping[str, str]
    command: str
    reference: pd.DataFrame | None = field(default=None, compare=False)

    def rows(self) -> pd.DataFrame:
        """The rows that anyone can merge."""
        metric = self.sides[0].select.metric.removeprefix("val/") if self.sides else ""
        return suite_rows(self.suite.name, self.command, self.sides, ranked_cells(self.sides), metric)

    def references(self) -> pd.DataFrame | None:
        """The table of earlier rows; None where there are none."""
        if self.reference is None or isinstance(self.ranked, str):
            return None
        return reference_table(self.reference, self.ranked, self.sides)


def write_suite(page: SuitePage, place: Path) -> Path:
    """Write the page of a suite with its tables and `rows.csv`, and return its path."""
    return write_across(place, lambda folder: _lines(page, folder))


def _lines(page: SuitePage, folder: Path) -> list[str]:
    lines = [f"# {escaped(page.suite.name)}", ""]
    lines += mark_lines(_shared_marks(page))
    lines += [f"The suite file says: {escaped(page.suite.description)}", ""] if page.suite.description else []
    if page.failed:
        lines += ["**Not everything is done.**", "", *(f"- {escaped(f'{n}: {w}')}" for n, w in page.failed.items()), ""]
    if isinstance(page.ranked, str):
        lines += ["## Models on data sets", "", f"{escaped(page.ranked)}.", ""]
    else:
        lines += rank_lines(page.ranked, folder)
    earlier = page.references()
    if earlier is not None:
        lines += ["## Earlier rows", "", "As reference: they are not ranked with the models above.", ""]
        lines += export_table(earlier, folder, "reference")
    lines += ["## The data sets", "", *export_table(data_set_table(page.sides), folder, "data-sets")]
    page.rows().to_csv(folder / ROWS_FILE, index=False)
    lines += [f"Every row with its seed, digests and command is in [{ROWS_FILE}]({ROWS_FILE}), for merging.", ""]
    return [*lines, "## The suite file", "", "```yaml", *page.suite.text.rstrip("\n").split("\n"), "```", ""]


def _shared_marks(page: SuitePage) -> list[str]:
    """The marks that the numbers of every data set have; those of some are in the tables."""
    each = [side.marks.of_study for side in page.sides]
    return [mark for mark in each[0] if all(mark in marks for marks in each)] if each else []


def data_set_table(sides: Sequence[StudySide]) -> pd.DataFrame:
    """A row for each data set: its images and classes, and the scenario that its own study selects."""
    rows = []
    for side in sides:
        dataset, study = side.workspace.inputs.dataset, side.workspace.study
        counts = dataset.counts(dataset.rows("train"))
        rows.append(
            {
                "data set": side.label,
                "images": sum(counts.values()),
                "classes": len(counts),
                "least of a class": min(counts.values()),
                "most of a class": max(counts.values()),
                "patients": "known" if dataset.patient_rule else "unknown",
                "fits a model": len(side.chosen.jobs),
                "best": side.chosen.name,
                "study": study.study,
                "mark": side.marks.every or "",
            }
        )
    return without_empty_marks(pd.DataFrame(rows)) if rows else pd.DataFrame()
