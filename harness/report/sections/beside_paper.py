"""A paper's tables and figures next to ours: its value, ours, the difference, an interval; or why a cell is empty."""

from collections.abc import Callable

from harness.report.sections.paper_levels import curve_item_lines, level_lines
from harness.report.sections.paper_models import baseline_lines, class_lines, confusion_lines
from harness.report.sections.paper_questions import open_lines
from harness.report.sections.paper_sides import Lines, Sides
from harness.report.tables.export import escaped
from harness.study.paper import Item

_INTERVALS = (
    "Intervals are 95 % ones: ours over {unit}, those of the paper over images, as it names no patients; that of a"
    " difference is from both (MOVER; Zou & Donner 2008)."
)


def paper_lines(sides: Sides) -> Lines:
    """Write the tables (CSV, LaTeX) and figures (PNG, SVG) of each item; return the section in Markdown."""
    published = sides.published
    lines = [f"## Next to the paper: {published.title}", "", f"{published.authors}. {published.source}", ""]
    lines += [f"**Ours: {escaped(mark)}.**", ""] if (mark := sides.draft.marks.every) else []
    lines += [_INTERVALS.format(unit=sides.draft.inputs.separation.unit), ""]
    for item in published.items:
        lines += [f"### {item.item}: {item.shows}", "", *ITEMS[item.kind](sides, item, _file(item))]
    return [*lines, "### What the paper leaves open", "", *open_lines(sides)]


def _file(item: Item) -> str:
    return "paper-" + "".join(c if c.isalnum() else "-" for c in item.item.lower()).replace("--", "-")


ITEMS: dict[str, Callable[[Sides, Item, str], Lines]] = {
    "levels": level_lines,
    "curves": curve_item_lines,
    "confusion": confusion_lines,
    "classes": class_lines,
    "baseline": baseline_lines,
}
