"""The command `labels`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, StudyOrName, find_workspace


def labels(
    study_file: StudyOrName,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="A new folder.", show_default=False, readable=False)
    ],
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
) -> None:
    """Rank training images by how probably their label is wrong: a page, and a table to correct. Trains nothing."""
    from harness.report.label_errors import FILE, write_label_errors
    from harness.store import Store
    from harness.study.number_words import verb

    found = write_label_errors(find_workspace(study_file, data, overrides, Store(store_folder)), out)
    has = verb(found.suspects, "has", "have")
    print(f"{found.suspects:,} of {found.images:,} training images {has} a suspicious label")
    print(found.out / "index.html")
    print(f"{found.out / FILE}  (fill in corrected_label, then: data: {{corrections: FILE}})")
