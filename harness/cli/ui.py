"""The command `ui`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    DataPath,
    Overrides,
    StorePath,
    TrackingUri,
)
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.store import Store
    from harness.study import Study


def ui(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Open at the leaderboard of this study.", readable=False)
    ] = None,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000,
    tracking_uri: TrackingUri = None,
) -> None:
    """Serves the MLflow UI of the store on 127.0.0.1; with --tracking-uri it only names the views on that server."""
    from harness.store import Store
    from harness.tracking.ui import ui_command

    at = Store(store, tracking_uri)
    if not at.has_runs:
        raise HarnessError(f"{at.root} holds no runs yet; start with: harness run STUDY --store {store}")
    if at.server is None:
        at.require_open()  # MLflow writes to a database that it reads
    if study is not None:
        from harness.study import load_study

        for words, url in study_views(load_study(study, overrides or [], data), at, port).items():
            print(f"{words}: {url}", flush=True)
    if at.server is not None:
        print(f"all studies: {at.server}")
        return
    command, environment = ui_command(at, port)
    os.execvpe(command[0], command, environment)


def study_views(study: "Study", store: "Store", port: int) -> dict[str, str]:
    """The views of the study in the UI of its server, or in that which serves this store on `port`: words -> URL."""
    from harness.prepare import prepare
    from harness.store import Ledger
    from harness.study.state import study_state
    from harness.tracking.connection import reachable
    from harness.tracking.publisher import Publisher

    inputs = prepare(study, store)
    states = study_state(study, inputs.digests, Ledger(store), provisional=True)
    with reachable(store):
        found = Publisher(study, inputs, store).views(states)
    if store.server is not None:
        return found
    return {words: url.replace(":5000/", f":{port}/") for words, url in found.items()}
