"""The commands `run` and `test`."""

from collections.abc import Callable

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    Address,
    CaptureMode,
    CompileMode,
    DataPath,
    DeviceName,
    ExecutorName,
    FuseMode,
    JobsPerDevice,
    MixedVersions,
    Overrides,
    SharedStore,
    StackMode,
    StoreFolder,
    StudyFile,
    Threads,
    TrackingUri,
    Workers,
    open_store,
)  # fmt: skip
from harness.cli.rehearsed import AskedStudy, RehearsalTime, rehearsal_seconds
from harness.errors import StudyError


def _command(name: str, description: str, tests_only: bool) -> Callable[..., None]:
    """Make the command of this name: both have the same options."""

    def command(
        study_file: StudyFile,
        data: DataPath = None,
        store_folder: StoreFolder = DEFAULT_STORE,
        overrides: Overrides = None,
        device: DeviceName = "auto",
        executor: ExecutorName = "auto",
        workers: Workers = None,
        jobs_per_device: JobsPerDevice = 1,
        threads: Threads = 1,
        compile: CompileMode = "auto",
        capture: CaptureMode = "auto",
        fuse: FuseMode = "auto",
        stack: StackMode = "auto",
        address: Address = None,
        shared_store: SharedStore = False,
        tracking_uri: TrackingUri = None,
        mixed_versions: MixedVersions = False,
        rehearse: RehearsalTime = None,
    ) -> None:
        from harness.execution.compute import Compute
        from harness.execution.progress import Reporter

        compute = Compute(
            executor, workers, jobs_per_device, threads, compile, stack, address, shared_store, capture == "auto",
            fuse == "auto",
        )  # fmt: skip
        store = open_store(store_folder, tracking_uri, mixed_versions)
        asked = AskedStudy(study_file, data, overrides or [])
        study, time = asked.load(), rehearsal_seconds(rehearse)
        if tests_only and time is not None:
            raise StudyError("--rehearse: a rehearsal leaves the test set sealed; it goes with `run` and `plan`")
        with Reporter() as reporter:
            if time is not None:
                study = asked.rehearsed(store, device, time, reporter.say, trains=True)
            reporter.say(f"{study.study}: loading")
            from harness.runner import run_study

            done = run_study(study, store, device, reporter, tests_only, compute)
        from harness.cli.show.runs import show_run

        show_run(study, store, done)
        if done.failed or not all(stage.finished for stage in done.state.stages):
            raise typer.Exit(1)

    command.__name__, command.__doc__ = name, description
    return command


run = _command("run", "Run everything that is not done yet: stages, test set, report.", tests_only=False)
test = _command("test", "Score the winners of finished stages on the test set.", tests_only=True)
