"""The images that the audit names as odd, as pictures: some of each kind."""

from functools import partial

import pandas as pd

from harness.data.pictures import picture
from harness.report.draft import Draft
from harness.report.numbers.marks import marked
from harness.report.sections.thumbnails import pictured, thumbnail_links
from harness.report.tables.export import write_table
from harness.study.preprocessing import Framing

ODD = ("inverted", "blank", "dark-16-bit", "few-levels", "borders")  # findings of single images
MAX_OF_A_KIND = 4


def odd_lines(draft: Draft) -> list[str]:
    """Write `odd-images.csv` and thumbnails to the folder, and return their table in Markdown; none before any fit."""
    named = [(f.name, image) for name in ODD for f in draft.workspace.audit.named(name) for image in _first(f.facts)]
    if not named or draft.state.empty:
        return []
    table, framing = pd.DataFrame(named, columns=["finding", "image"]), Framing(draft.study.data.image_size)
    if draft.state.scenarios:
        framing = draft.state.scenarios[0].settings.framing
    rows = {image: row for row, image in enumerate(draft.dataset.table["image"])}
    picture_of = partial(picture, draft.dataset, framing, draft.workspace.store)
    words = (f"{finding}: {image}" for finding, image in named)
    links = thumbnail_links((rows[image] for image in table["image"]), words, picture_of, draft.folder, "odd")
    write_table(marked(table, draft.marks.every), draft.folder, "odd-images")
    return ["Odd images that the audit names, the first of each kind:", "", *pictured(table, links)]


def _first(facts: dict[str, list[str]]) -> list[str]:
    return facts["first"][:MAX_OF_A_KIND]
