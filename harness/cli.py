"""The command line. Heavy modules are imported inside the commands, so that `--help` and `plan` stay quick."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from harness.errors import HarnessError, Stopped, StudyError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Benchmark studies of image classifiers: plan, run, compare, report.",
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file.", show_default=False)]
DataPath = Annotated[str | None, typer.Option("--data", metavar="PATH", help="Image folder, instead of data.path.")]
StorePath = Annotated[Path, typer.Option("--store", metavar="DIR", help="Where everything produced is kept.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a field, e.g. base.epochs=1.")
]
DeviceName = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
MLRUNS = Path("mlruns")


@app.command()
def run(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    device: DeviceName = "auto",
) -> None:
    """Runs all that is not done yet: stages, test set, report."""
    _run(study, data, store, overrides, device, tests_only=False)


@app.command()
def test(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    device: DeviceName = "auto",
) -> None:
    """Scores the winners of finished stages on the test set."""
    _run(study, data, store, overrides, device, tests_only=True)


def _run(
    study_file: Path, data: str | None, store_path: Path, overrides: list[str] | None, device: str, tests_only: bool
) -> None:
    from harness.progress import Reporter
    from harness.store import Store
    from harness.study import load_study

    study = load_study(study_file, overrides or [], data)
    store = Store(store_path)
    with Reporter() as reporter:
        reporter.say(f"{study.study}: loading")
        from harness.runner import run_study

        done = run_study(study, store, device, reporter, tests_only)
    from harness.terminal import show_run

    show_run(study, store, done)
    if done.failed or not all(state.finished for state in done.states):
        raise typer.Exit(1)


@app.command()
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
) -> None:
    """Searches the space of the study's search: block; a second start adds the trials that are missing."""
    from harness.progress import Reporter
    from harness.store import Store
    from harness.study import load_study

    loaded, at = load_study(study, overrides or [], data), Store(store)
    with Reporter() as reporter:
        reporter.say(f"{loaded.study}: loading")
        from harness.search.run import run_search

        done = run_search(loaded, at, device, reporter, workers, trials, storage)
    from harness.terminal import show_search

    show_search(loaded, at, done)
    if done.failed or done.lost:
        raise typer.Exit(1)


@app.command()
def plan(study: StudyFile, data: DataPath = None, store: StorePath = MLRUNS, overrides: Overrides = None) -> None:
    """Shows stages, scenarios, folds and jobs, and what is done already. Trains nothing."""
    from harness.ledger import Ledger
    from harness.prepare import keep_folds, prepare
    from harness.stages import study_state
    from harness.store import Store
    from harness.study import load_study
    from harness.terminal import show_plan

    loaded, at = load_study(study, overrides or [], data), Store(store)
    inputs = prepare(loaded, at)
    keep_folds(loaded, inputs, at)
    show_plan(loaded, inputs, study_state(loaded, inputs.digests, Ledger(at)))


@app.command()
def audit(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Looks through the images for leaks, duplicates and shifts. Trains nothing."""
    from harness.data.audit import ERRORS, audit_study, require_clean
    from harness.prepare import prepare
    from harness.store import Store
    from harness.study import load_study
    from harness.terminal import show_audit

    loaded, at = load_study(study, overrides or [], data), Store(store)
    inputs = prepare(loaded, at, accepted=ERRORS)  # an audit looks at everything first
    found = audit_study(loaded, inputs.dataset, inputs.folds, at)
    if as_json:
        print(found.to_json())
    else:
        show_audit(found)
    require_clean(found)


@app.command()
def report(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="The study file.")] = None,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    published: Annotated[
        Path | None, typer.Option("--published", metavar="FILE", help="Recompute a paper's figures; needs no run.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The folder for --published.")] = None,
    checklist: Annotated[bool, typer.Option("--checklist", help="Print the path of the filled checklist.")] = False,
) -> None:
    """Writes the report again from the stored results, without training."""
    if (study is None) == (published is None) or (published is None) != (out is None):
        raise StudyError("report takes a STUDY, or --published FILE --out DIR")
    if published is not None and out is not None:
        from harness.published import load_published

        paper = load_published(published)
        from harness.report.published import write_published

        print(write_published(paper, out))
    elif study is not None:
        from harness.store import Store
        from harness.study import load_study

        loaded, at = load_study(study, overrides or [], data), Store(store)
        from harness.publish import report_study

        path = report_study(loaded, at)
        print(path.parent / "checklist.md" if checklist else path)


@app.command()
def reproduce(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The MLflow run of a fold or a test.")],
    store: StorePath = MLRUNS,
    device: DeviceName = "auto",
) -> None:
    """Runs one fold again from what its run says, and compares the metrics. Exit code 1 where they differ."""
    from harness.progress import Reporter
    from harness.store import Store
    from harness.terminal import show_reproduction

    at = Store(store)
    with Reporter() as reporter:
        reporter.say(f"reproducing {run_id}")
        from harness.reproduce import reproduce as run_again

        found = run_again(run_id, at, device, reporter)
    show_reproduction(found)
    if not found.identical:
        raise typer.Exit(1)


@app.command()
def ui(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Open at the leaderboard of this study.")
    ] = None,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Serves the MLflow UI of the store on 127.0.0.1."""
    from harness.store import Store
    from harness.terminal import ui_command

    at = Store(store)
    if not at.database.exists():
        raise HarnessError(f"{at.root} holds no runs yet; start with: harness run STUDY --store {store}")
    if study is not None:
        from harness.publish import leaderboard
        from harness.study import load_study

        print(leaderboard(load_study(study, overrides or [], data), at, port), flush=True)
    command, environment = ui_command(at, port)
    os.execvpe(command[0], command, environment)


def main() -> None:
    """The console script: errors of the request end in one line on standard error and their exit code."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stop:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(stop.exit_code)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


if __name__ == "__main__":
    main()
