"""The results in the other unit, on a page of their own, and the main numbers of both units side by side."""

from collections.abc import Iterator

import pandas as pd

from harness.report.draft import Draft
from harness.report.figures.drawing import with_holes
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST, RunOf
from harness.report.numbers.records import Estimate, write_statistics
from harness.report.numbers.statistics import study_statistics
from harness.report.page import write_page
from harness.report.sections.head import study_head_lines
from harness.report.sections.stages import result_lines
from harness.report.tables.estimate_table import interval_cell
from harness.report.tables.export import export_table
from harness.study.unit import Unit

SHOWN = ("accuracy", "balanced_accuracy", "recall", "specificity", "roc_auc")
Key = tuple[str, str, str, str | None]


def other_draft(draft: Draft, run_of: RunOf) -> Draft | None:
    """The same study in the other unit, in a folder of its own; None where there are no such numbers."""
    workspace, unit = draft.workspace, draft.workspace.other_unit
    if not isinstance(unit, Unit):
        return None
    folder = draft.folder / unit.plural
    folder.mkdir()
    state = workspace.reader_of(unit).again(draft.state)
    return Draft(workspace, state, study_statistics(workspace, state, unit, run_of), folder, unit)


def other_unit_lines(draft: Draft, other: Draft | None) -> list[str]:
    """Write the page of the other unit, and return the section that shows both side by side.

    Empty where there is nothing to say of another unit.
    """
    unit = draft.workspace.other_unit
    if other is None:
        return ["## By patient", "", f"Nothing is shown by patient: {unit}.", ""] if isinstance(unit, str) else []
    _write_page(other)
    name = other.unit.name
    selected = f" Stages select by {draft.unit.name}." if draft.study.selects else ""
    return [
        f"## By {name}",
        "",
        f"{_how(draft, other)}{selected} Out of fold: of all folds"
        " together, where the leaderboard has means over the folds. Every table, test, interval and operating point by"
        f" {name} is on [a page of its own]({page_of(other.unit)}).",
        "",
        *export_table(_side_by_side(draft, other), draft.folder, "units"),
    ]


def page_of(unit: Unit) -> str:
    """The page of the other unit, in the folder of the report."""
    return f"{unit.plural}/index.html"


def _write_page(other: Draft) -> None:
    """Write `report.md`, `index.html` and `statistics.json` of the other unit to its folder."""
    title = f"# {other.study.study}, by {other.unit.name}"
    leading = "The leading numbers of the study are in [the report](../index.html)."
    lines = [title, "", leading, "", *study_head_lines(other), *result_lines(other)]
    text = with_holes(lines, other.folder)
    (other.folder / "report.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    write_statistics(other.statistics, other.folder)
    write_page(other.folder)


def _how(draft: Draft, other: Draft) -> str:
    """The sentence on how the images of a patient are combined, and on the patients that have no number."""
    patients = other.unit if other.unit.patients else draft.unit
    count = len(patients.left_out)
    who = "One patient has" if count == 1 else f"{count:,} patients have"
    left = f" {who} images of several classes, and no number." if count else ""
    return f"The probabilities of a patient's images are combined by {patients.combine}.{left}"


def _side_by_side(draft: Draft, other: Draft) -> pd.DataFrame:
    """The main numbers of each scenario out of fold and on the test set, in both units, with their intervals."""
    sides = {side.unit.name: dict(_main(side)) for side in (draft, other)}
    rows = []
    for key in sides[draft.unit.name]:
        subject, on, metric, of_class = key
        row: dict[str, object] = {"subject": subject, "on": on, "metric": metric, "class": of_class or "all"}
        row |= {f"by {name}": interval_cell(found[key]) if key in found else None for name, found in sides.items()}
        rows.append(row | {"mark": sides[draft.unit.name][key].mark})
    table = pd.DataFrame(rows)
    return table.dropna(axis="columns", how="all")


def _main(draft: Draft) -> Iterator[tuple[Key, Estimate]]:
    wanted = (None, draft.dataset.positive)
    for e in draft.statistics.estimates:
        if e.on in (OUT_OF_FOLD, TEST) and e.metric in SHOWN and e.of_class in wanted:
            yield (e.subject, e.on, e.metric, e.of_class), e
