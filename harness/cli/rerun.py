"""The commands that make a fit again: `rerun`, `reproduce`."""

from pathlib import Path
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


def rerun(
    study_file: StudyFile,
    scenario: Annotated[str, typer.Option(metavar="NAME", help="The scenario's name or id, as `plan` shows it.")],
    fold: Annotated[int, typer.Option(min=0, help="The fold, from 0.")],
    repeat: Annotated[int, typer.Option(min=0, help="The repeat, from 0.")] = 0,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    mixed_versions: MixedVersions = False,
) -> None:
    """Fit one fold of one scenario again; its old result is set aside."""
    from harness.cli.show.runs import show_reproduction
    from harness.execution.progress import Reporter

    study = read_study(study_file, data, overrides)
    store = open_store(store_folder, mixed_versions=mixed_versions)
    with Reporter() as reporter:
        from harness.reproduce import rerun as run_again

        done = run_again(study, store, device, reporter, scenario, fold, repeat)
    if done.compared is not None:
        show_reproduction(done.compared)
    if done.run.failed:
        raise typer.Exit(1)


def reproduce(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The MLflow run of a fold or a test.")],
    store_folder: StoreFolder = DEFAULT_STORE,
    device: DeviceName = "auto",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The images: found by their hashes.", readable=False)
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Fit one fold again from what its MLflow run says, and compare the metrics. Exit code 1 where they differ."""
    from harness.cli.show.runs import show_reproduction
    from harness.execution.progress import Reporter
    from harness.store import Store

    store = Store(store_folder, tracking_uri)
    with Reporter() as reporter:
        reporter.say(f"reproducing {run_id}")
        from harness.reproduce import reproduce as run_again

        found = run_again(run_id, store, device, reporter, data)
    show_reproduction(found)
    if not found.identical:
        raise typer.Exit(1)
