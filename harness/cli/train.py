"""The commands that train: run, test, search, reproduce."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    Address,
    CompileMode,
    DataPath,
    DeviceName,
    ExecutorName,
    JobsPerDevice,
    MixedVersions,
    Overrides,
    SharedStore,
    StackMode,
    StorePath,
    StudyFile,
    Threads,
    TrackingUri,
    Workers,
    open_store,
)  # fmt: skip

if TYPE_CHECKING:
    from harness.compute import Compute
    from harness.store import Store


def run(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    executor: ExecutorName = "auto",
    workers: Workers = None,
    jobs_per_device: JobsPerDevice = 1,
    threads: Threads = 1,
    compile: CompileMode = "auto",
    stack: StackMode = "auto",
    address: Address = None,
    shared_store: SharedStore = False,
    tracking_uri: TrackingUri = None,
    mixed_versions: MixedVersions = False,
) -> None:
    """Runs all that is not done yet: stages, test set, report."""
    from harness.compute import Compute

    compute = Compute(executor, workers, jobs_per_device, threads, compile, stack, address, shared_store)
    at = open_store(store, tracking_uri, mixed_versions)
    _run(study, data, at, overrides, device, compute, tests_only=False)


def test(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    executor: ExecutorName = "auto",
    workers: Workers = None,
    jobs_per_device: JobsPerDevice = 1,
    threads: Threads = 1,
    compile: CompileMode = "auto",
    stack: StackMode = "auto",
    address: Address = None,
    shared_store: SharedStore = False,
    tracking_uri: TrackingUri = None,
    mixed_versions: MixedVersions = False,
) -> None:
    """Scores the winners of finished stages on the test set."""
    from harness.compute import Compute

    compute = Compute(executor, workers, jobs_per_device, threads, compile, stack, address, shared_store)
    at = open_store(store, tracking_uri, mixed_versions)
    _run(study, data, at, overrides, device, compute, tests_only=True)


def _run(
    study_file: Path, data: str | None, store: "Store", overrides: list[str] | None, device: str, compute: "Compute",
    tests_only: bool,
) -> None:  # fmt: skip
    from harness.load import load_study
    from harness.progress import Reporter

    study = load_study(study_file, overrides or [], data)
    with Reporter() as reporter:
        reporter.say(f"{study.study}: loading")
        from harness.runner import run_study

        done = run_study(study, store, device, reporter, tests_only, compute)
    from harness.terminal.runs import show_run

    show_run(study, store, done)
    if done.failed or not all(state.finished for state in done.states):
        raise typer.Exit(1)


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
    from harness.load import load_study
    from harness.progress import Reporter

    loaded, at = load_study(study, overrides or [], data), open_store(store, tracking_uri, mixed_versions)
    with Reporter() as reporter:
        reporter.say(f"{loaded.study}: loading")
        from harness.search.run import run_search

        done = run_search(loaded, at, device, reporter, workers, trials, storage)
    from harness.terminal.runs import show_search

    show_search(loaded, at, done)
    if done.failed or done.lost:
        raise typer.Exit(1)


def reproduce(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The MLflow run of a fold or a test.")],
    store: StorePath = MLRUNS,
    device: DeviceName = "auto",
    tracking_uri: TrackingUri = None,
) -> None:
    """Runs one fold again from what its run says, and compares the metrics. Exit code 1 where they differ."""
    from harness.progress import Reporter
    from harness.terminal.runs import show_reproduction

    at = open_store(store, tracking_uri)
    with Reporter() as reporter:
        reporter.say(f"reproducing {run_id}")
        from harness.reproduce import reproduce as run_again

        found = run_again(run_id, at, device, reporter)
    show_reproduction(found)
    if not found.identical:
        raise typer.Exit(1)
