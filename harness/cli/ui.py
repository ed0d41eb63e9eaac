"""The command `ui`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, TrackingUri, find_workspace
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.data.inputs import Workspace


def ui(
    study_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY]", help="Print the views of this study; without it all studies.", readable=False
        ),
    ] = None,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000,
    tracking_uri: TrackingUri = None,
) -> None:
    """Serve the MLflow UI of the store on 127.0.0.1; with --tracking-uri only print the views on that server."""
    from harness.store import Store
    from harness.tracking.connection import reachable
    from harness.tracking.links import experiments_url
    from harness.tracking.ui import known_studies, serve_ui, store_to_serve

    store = Store(store_folder, tracking_uri)
    if not store.has_runs:
        raise HarnessError(f"{store.root} has no runs yet; start with: harness run STUDY --store {store_folder}")
    store = store_to_serve(store)
    if study_file is not None:
        shown = study_views(find_workspace(study_file, data, overrides, store), port)
    else:
        with reachable(store):
            shown = known_studies(store, port)
    for words, url in shown.items():
        print(f"{words}: {url}", flush=True)
    print(f"all studies: {experiments_url(store.server or f'http://127.0.0.1:{port}')}", flush=True)
    if store.server is not None:
        return
    if code := serve_ui(store, port):
        raise typer.Exit(code)


def study_views(workspace: "Workspace", port: int) -> dict[str, str]:
    """The views of the study on its server, or in the UI of this store on `port`: name -> URL."""
    from harness.store.reports import search_report
    from harness.tracking.connection import reachable
    from harness.tracking.publisher import Publisher

    state = workspace.reader.read(provisional=True)
    with reachable(workspace.store):
        views = Publisher(workspace, port).views(state.stages)
        if workspace.study.search is not None and search_report(workspace.store.reports, workspace.study.study):
            from harness.search.tracking import SearchPublisher

            views["trials of the search"] = SearchPublisher(workspace, port).leaderboard_url()
        return views
