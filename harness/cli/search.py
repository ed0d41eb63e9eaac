"""The command `search`."""

from typing import Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    DataPath,
    DeviceName,
    MixedVersions,
    Overrides,
    StorePath,
    StudyFile,
    TrackingUri,
    open_store,
)  # fmt: skip


def search(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that run trials, on this machine.")] = 1,
    trials: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, metavar="N", help="Instead of search.trials.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Optuna's database, where several machines share a search.")
    ] = None,
    tracking_uri: TrackingUri = None,
    mixed_versions: MixedVersions = False,
) -> None:
    """Searches the space of the study's search: block; a second start adds the trials that are missing."""
    from harness.execution.progress import Reporter
    from harness.study import load_study

    loaded, at = load_study(study, overrides or [], data), open_store(store, tracking_uri, mixed_versions)
    with Reporter() as reporter:
        reporter.say(f"{loaded.study}: loading")
        from harness.search.run import run_search

        done = run_search(loaded, at, device, reporter, workers, trials, storage)
    from harness.cli.show.runs import show_search

    show_search(loaded, at, done)
    if done.failed or done.lost:
        raise typer.Exit(1)
