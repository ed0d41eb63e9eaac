"""The command `compare`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, StoreFolder, find_workspace, named_values

SCENARIO = "STUDY=NAME, the name of a study and that of a scenario"


def compare(
    studies: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY...", help="Study files, or their names or ids in the store.", readable=False),
    ],
    store_folder: StoreFolder = DEFAULT_STORE,
    scenarios: Annotated[
        list[str] | None,
        typer.Option("--scenario", metavar="STUDY=NAME", help="The scenario of a study, not the selected one."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="Instead of the one that all select by.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write to this folder.", readable=False)
    ] = None,
) -> None:
    """Compare finished studies of a store: paired on the same images, else by ranks. Trains nothing."""
    from harness.store import Store
    from harness.tracking.stored_report import stored_state

    store = Store(store_folder)
    workspaces = [find_workspace(study, None, None, store) for study in studies]
    opened = [(workspace, stored_state(workspace)) for workspace in workspaces]
    from harness.report.across.across_page import across_place, write_compared
    from harness.report.across.compared_studies import compare_studies

    wanted = named_values("--scenario", scenarios or [], SCENARIO)
    found = compare_studies(opened, wanted, metric)
    place = across_place(store, "-and-".join(side.label for side in found.sides), out)
    from harness.cli.show.across import show_compared
    from harness.cli.show.console import new_console

    show_compared(new_console(), found)
    print(f"page: {write_compared(found, place)}")
