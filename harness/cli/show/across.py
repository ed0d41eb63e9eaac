"""Print several studies beside each other in the width of the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.cli.show.console import marked_title, rows_table
from harness.report.across.across_tables import (
    STYLES,
    against_sentence,
    against_table,
    cell_words,
    model_table,
    pair_table,
    rank_sentences,
    side_table,
)
from harness.report.across.compared_studies import ComparedStudies, pairing_sentence
from harness.report.numbers.marks import common_mark
from harness.report.tables.export import rounded
from harness.study.number_words import number_of

if TYPE_CHECKING:
    import pandas as pd

    from harness.execution.planned import PlannedStudy
    from harness.report.across.ranked_models import RankedModels
    from harness.report.across.suite_page import SuitePage
    from harness.study.suite_file import SuiteDataSet

LEAVING = ("P(worse)", "P(equivalent)", "P(better)", "low", "high", "p", "folds", "of", "mark")  # narrow: in this order


def show_compared(console: Console, found: ComparedStudies) -> None:
    """Print the studies and what the comparison says."""
    show_fitting(console, f"{found.title}: {found.metric}, mean over folds ± SD", side_table(found.sides))
    _say(console, [pairing_sentence(found)])
    if found.ranked is not None:
        show_ranked(console, found.ranked)
        return
    show_fitting(console, "first minus second", pair_table(found.validated))
    for metric in dict.fromkeys(c.metric for c in found.tested):
        of_metric = [c for c in found.tested if c.metric == metric]
        title = f"{metric} of the fitted models on the same test set, first minus second"
        show_fitting(console, title, pair_table(of_metric))


def show_ranked(console: Console, found: "RankedModels") -> None:
    """Print models on data sets: with intervals, SDs or means alone, as there is room; then what the ranks say."""
    tables = {style: model_table(found, style) for style in STYLES}
    style = next((s for s, t in tables.items() if _width(console, t) <= console.width), STYLES[-1])
    table, legend = tables[style], list[str]()
    title = f"{found.metric} of models on data sets, mean over the folds{cell_words(found, style)}"
    if _width(console, table) > console.width:
        legend = table["model"].tolist()
        table = table.assign(model=[str(number) for number in range(1, len(table) + 1)])
    show_fitting(console, title, table, legend)
    _say(console, rank_sentences(found))
    show_fitting(console, f"against {found.models[0]}", against_table(found).drop(columns="against"))
    _say(console, [against_sentence(found)])


def show_fitting(console: Console, title: str, table: "pd.DataFrame", legend: Sequence[str] = ()) -> None:
    """Print a table without the columns that have no room, which are named. legend: what its numbers stand for."""
    mark, table = common_mark(table)
    left_out = list[str]()
    for column in LEAVING:
        if _width(console, table) <= console.width:
            break
        if column in table:
            left_out.append(column)
            table = table.drop(columns=column)
    console.print(marked_title(title, mark), style="bold")
    console.print(_rows(table))
    for number, name in enumerate(legend, 1):
        console.print(f"  {number}: {name}")
    if left_out:
        each = "it is" if len(left_out) == 1 else "they are"
        console.print(f"  no room in {console.width} columns for {', '.join(left_out)}: {each} on the page")
    console.print()


def _say(console: Console, sentences: Sequence[str]) -> None:
    for words in sentences:
        console.print(words)
    console.print()


def _rows(table: "pd.DataFrame") -> Table:
    text = rounded(table).fillna("-")
    found = rows_table("", [str(column) for column in text], text.to_numpy().tolist())
    found.title = found.caption = None
    return found


def _width(console: Console, table: "pd.DataFrame") -> int:
    """The width of the table in which no cell is wrapped."""
    shown = table.drop(columns="mark") if "mark" in table and table["mark"].nunique() == 1 else table
    return console.measure(_rows(shown), options=console.options.update(max_width=10_000)).maximum


def show_suite(console: Console, page: "SuitePage") -> None:
    """Print the table of a suite, its ranks, earlier rows, and on which data sets something is not done."""
    if isinstance(page.ranked, str):
        _say(console, [f"no ranks: {page.ranked}"])
    else:
        show_ranked(console, page.ranked)
    earlier = page.references()
    if earlier is not None:
        show_fitting(console, "earlier rows, as reference: not ranked with these", earlier)
    for name, why in page.failed.items():
        console.print(f"data set {name}: {why}")


def show_suite_plan(console: Console, planned: "Sequence[tuple[SuiteDataSet, PlannedStudy | str]]") -> None:
    """Print what a suite would do on each data set, and how much of that is done."""
    rows, total = [], 0
    for each, found in planned:
        if isinstance(found, str):
            rows.append([each.name, "-", "-", "-", "-", found])
            continue
        dataset, fits = found.workspace.inputs.dataset, found.state.fits
        known, missing = sum(len(fit.jobs) for fit in fits), sum(len(fit.missing) for fit in fits)
        total += missing
        images = f"{len(dataset.rows('train')):,}"
        rows.append([each.name, images, str(len(dataset.classes)), str(known), str(known - missing),
                     "; ".join(found.marks) or ""])  # fmt: skip
    console.print(rows_table("", ["data set", "images", "classes", "fits", "done", "note"], rows))
    console.print(f"{number_of(total, 'fit')} to do, and those of stages that wait for a winner")
