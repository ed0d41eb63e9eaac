"""The command `search`."""

from typing import Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    DataPath,
    DeviceName,
    MixedVersions,
    Overrides,
    StoreFolder,
    StudyFile,
    TrackingUri,
    open_store,
    read_study,
)  # fmt: skip
from harness.errors import StudyError

NO_REHEARSAL = (
    "--rehearse: how long a trial takes depends on what is sampled, so that no time can be promised; try a search on"
    " less by --trials 3 --set data.limit=200 --set base.epochs=1, which is marked REHEARSAL, and end it after a time"
    " in seconds by --set search.timeout=600"
)


def search(
    study_file: StudyFile,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that run trials, on this machine.")] = 1,
    trials: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, metavar="N", help="Instead of search.trials.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Optuna's database, for a search on several machines.")
    ] = None,
    tracking_uri: TrackingUri = None,
    mixed_versions: MixedVersions = False,
    rehearse: Annotated[str | None, typer.Option("--rehearse", hidden=True)] = None,
) -> None:
    """Search the space in the study's search: block; a second start adds the missing trials."""
    from harness.execution.progress import Reporter

    if rehearse is not None:
        raise StudyError(NO_REHEARSAL)
    study = read_study(study_file, data, overrides)
    store = open_store(store_folder, tracking_uri, mixed_versions)
    with Reporter() as reporter:
        reporter.say(f"{study.study}: loading")
        from harness.search.run import run_search

        done = run_search(study, store, device, reporter, workers, trials, storage)
    from harness.cli.show.runs import show_search

    show_search(study, store, done)
    if done.failed or done.lost:
        raise typer.Exit(1)
