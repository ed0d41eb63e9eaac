"""The commands `run` and `test`."""

from pathlib import Path
from typing import TYPE_CHECKING

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
    from harness.execution.compute import Compute
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
    from harness.execution.compute import Compute

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
    from harness.execution.compute import Compute

    compute = Compute(executor, workers, jobs_per_device, threads, compile, stack, address, shared_store)
    at = open_store(store, tracking_uri, mixed_versions)
    _run(study, data, at, overrides, device, compute, tests_only=True)


def _run(
    study_file: Path, data: str | None, store: "Store", overrides: list[str] | None, device: str, compute: "Compute",
    tests_only: bool,
) -> None:  # fmt: skip
    from harness.execution.progress import Reporter
    from harness.study import load_study

    study = load_study(study_file, overrides or [], data)
    with Reporter() as reporter:
        reporter.say(f"{study.study}: loading")
        from harness.runner import run_study

        done = run_study(study, store, device, reporter, tests_only, compute)
    from harness.cli.show.runs import show_run

    show_run(study, store, done)
    if done.failed or not all(state.finished for state in done.states):
        raise typer.Exit(1)
