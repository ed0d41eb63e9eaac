"""The command `publish`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, StudyOrName, find_workspace


def publish(
    study_file: StudyOrName,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FOLDER", help="A new folder, or a FILE.zip.", show_default=False, readable=False
        ),
    ],
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="The small images of the report.")] = True,
    models: Annotated[bool, typer.Option("--models/--no-models", help="The weights of the tested models.")] = True,
) -> None:
    """Write a folder that a reviewer can open and check: report, predictions, folds, model card; not the images."""
    from harness.cli.show.verified import show_published
    from harness.store import Store

    workspace = find_workspace(study_file, data, overrides, Store(store_folder))
    from harness.report.published.copies import Publication
    from harness.report.published.publication import publish as write

    show_published(write(Publication(workspace, pictures, models), out), pictures)
