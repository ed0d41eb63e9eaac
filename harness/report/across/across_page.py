"""The page of several studies beside each other, with its tables as CSV and LaTeX, in a folder of its own."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from harness.errors import HarnessError
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
from harness.report.across.compared_studies import ComparedStudies, pair_sentence, pairing_sentence
from harness.report.across.ranked_models import INTERVAL, RankedModels
from harness.report.figures.drawing import with_holes
from harness.report.numbers.marks import together
from harness.report.page import page_html
from harness.report.tables.estimate_table import fitted_models_note, practical_note
from harness.report.tables.export import escaped, export_table
from harness.store import Store
from harness.store.files import new_folder
from harness.store.reports import place_report, require_report_place

FOLDER = "compared"  # in the store
MAX_FOLDER_NAME = 120  # characters
INTERVAL_CELL = re.compile(r"\(-?\d+\.\d+ to -?\d+\.\d+\)|± \d+\.\d+")
NO_BREAK = "\N{NO-BREAK SPACE}"


def across_place(store: Store, name: str, out: Path | None) -> Path:
    """The folder for a comparison: `out`, or one in the store. Raises HarnessError where it may not be written."""
    if out is None and not store.writable:
        raise HarnessError(f"{store.root} may not be written; --out DIR writes the comparison to another folder")
    place = store.root / FOLDER / name[:MAX_FOLDER_NAME] if out is None else out.absolute()
    require_report_place(place)
    return place


def write_across(place: Path, write: Callable[[Path], list[str]]) -> Path:
    """Write a page and its files to the folder, in place of older ones, and return the path of `index.html`.

    write: writes the tables and figures to a folder, and returns the lines of the page in Markdown.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(place.parent) as new:
        folder = new / "report"
        folder.mkdir()
        text = "\n".join(with_holes(write(folder), folder)) + "\n"
        (folder / "report.md").write_text(text, encoding="utf-8")
        (folder / "index.html").write_text(page_html(text, folder, {}), encoding="utf-8")
        place_report(folder, place)
    return place / "index.html"


def write_compared(found: ComparedStudies, place: Path) -> Path:
    """Write the page of compared studies, and return its path."""
    return write_across(place, lambda folder: _lines(found, folder))


def _lines(found: ComparedStudies, folder: Path) -> list[str]:
    lines = [f"# {escaped(found.title)}", "", *mark_lines(side.mark for side in found.sides)]
    if found.ranked is not None:
        lines += ["## Answer", "", escaped(pairing_sentence(found)), ""]
        return [*lines, *rank_lines(found.ranked, folder), *_studies(found, folder)]
    lines += ["## Answer", ""]
    lines += [f"- {_plain(pair_sentence(c, found.margin))}" for c in found.validated]
    lines += ["", escaped(pairing_sentence(found)), "", *_table(pair_table(found.validated), folder, "pairs")]
    if found.shared.of == "folds":
        lines += [f"*{practical_note(found.margin)}*", ""]
    lines += _studies(found, folder)
    if found.tested:
        unit = found.sides[0].workspace.unit.plural
        lines += ["## On the same test set", "", escaped(fitted_models_note(unit, "whole patients")), ""]
        for metric in dict.fromkeys(c.metric for c in found.tested):
            of_metric = [c for c in found.tested if c.metric == metric]
            lines += [f"### {escaped(metric)}", "", *_table(pair_table(of_metric), folder, f"pairs-test-{metric}")]
    return lines


def _plain(words: str) -> str:
    """A sentence in Markdown whose `**` are meant."""
    return "**".join(map(escaped, words.split("**")))


def _studies(found: ComparedStudies, folder: Path) -> list[str]:
    several = any(side.chosen_from > 1 for side in found.sides)
    note = (
        " A scenario that is the best of several by these numbers has optimistic ones; its report has them corrected."
    )
    lines = ["## The studies", "", *_table(side_table(found.sides), folder, "studies")]
    return [*lines, f"*The interval of a mean: {escaped(INTERVAL)}.{note * several}*", ""]


def mark_lines(marks: Iterable[str | None]) -> list[str]:
    """Why the numbers are less than they seem, as a warning; empty where there is no reason."""
    mark = together(marks)
    return [f"**{escaped(mark)}.**", ""] if mark else []


def rank_lines(found: RankedModels, folder: Path) -> list[str]:
    """The table of models on data sets, the critical-difference figure, and each model against the best."""
    from harness.report.across.rank_figure import rank_figure

    lines = ["## Models on data sets", "", *_in_two_lines(_table(model_table(found), folder, "models"))]
    direction = "" if found.select.maximize else "; less is better"
    words = f"the mean over the folds{cell_words(found, STYLES[0])}. Interval: {escaped(INTERVAL)}"
    lines += [f"*{escaped(found.metric)}{direction}: {words}.*", ""]
    figure = rank_figure(found, folder / "ranks.png", found.marks)
    lines += ["## Ranks", "", *(f"{escaped(words)}\n" for words in rank_sentences(found))]
    lines += [f"![mean ranks of {len(found.models)} models]({figure.name})", ""]
    if found.ranks.critical is not None:
        lines += ["*A red bar spans models whose mean ranks differ by less than the critical difference.*", ""]
    lines += ["## Against the best", "", escaped(against_sentence(found)), ""]
    return [*lines, *_table(against_table(found), folder, "against-best")]


def _in_two_lines(table: list[str]) -> list[str]:
    """The lines of a table whose intervals stand below their means where there is no room beside them."""
    whole = [INTERVAL_CELL.sub(lambda match: match[0].replace(" ", NO_BREAK), line) for line in table]
    return [line.replace("---:", "---") if line.startswith("|---") else line for line in whole]


def _table(table: pd.DataFrame, folder: Path, name: str) -> list[str]:
    return export_table(table, folder, name)
