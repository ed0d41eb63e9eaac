"""The training images whose labels the study corrects: which, and from what to what."""

import pandas as pd

from harness.report.draft import Draft
from harness.report.numbers.marks import marked
from harness.report.tables.export import marked_markdown, write_table

MAX_LISTED = 20  # images in the page; all are in the file


def corrected_lines(draft: Draft) -> list[str]:
    """Write `corrected-labels.csv` to the folder, and return its first rows in Markdown; nothing where none changed."""
    changed = draft.dataset.corrected
    if not changed:
        return []
    table = marked(pd.DataFrame(changed, columns=["image", "label", "corrected label"]), draft.marks.every)
    write_table(table, draft.folder, "corrected-labels")
    more = f", the first {MAX_LISTED} of {len(table):,}; `corrected-labels.csv` has all" * (len(table) > MAX_LISTED)
    return [f"The training images whose labels were corrected{more}:", "", *marked_markdown(table.head(MAX_LISTED))]
