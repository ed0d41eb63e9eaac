"""The command `register`."""

from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, StudyFile, open_store, read_study


def register(
    study_file: StudyFile,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Goes onto the page.")] = "",
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
) -> None:
    """Write down what a study plans, before its first fit, signed by its hash; its report says whether it was so."""
    study, store = read_study(study_file, data, overrides), open_store(store_folder)
    from harness.report.registering import register_study
    from harness.store.registrations import PAGE

    registration, new = register_study(study, store, note)
    print(f"registered{'' if new else ' already,'} on {registration.day}: sha256 {registration.sha256}")
    print(registration.folder / PAGE)
