"""The commands that look after a study and its store: status, rerun, doctor, cache."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.options import (
    MLRUNS,
    DataPath,
    DeviceName,
    MixedVersions,
    Overrides,
    StorePath,
    StudyFile,
    open_store,
)


def status(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Says what is done, running, failed and missing, and why. Changes nothing."""
    from harness.load import load_study
    from harness.prepare import prepare
    from harness.status import study_status
    from harness.store import Store
    from harness.terminal.runs import show_status

    loaded, at = load_study(study, overrides or [], data), Store(store)
    if not at.root.exists():
        raise loaded.error(("study",), f"nothing was run in {at.root} yet; first run: harness run STUDY")
    found = study_status(loaded, prepare(loaded, at), at)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    else:
        show_status(found)


def rerun(
    study: StudyFile,
    scenario: Annotated[str, typer.Option(metavar="NAME", help="The scenario's name or id, as `plan` shows it.")],
    fold: Annotated[int, typer.Option(min=0, help="The fold, from 0.")],
    repeat: Annotated[int, typer.Option(min=0, help="The repeat, from 0.")] = 0,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    mixed_versions: MixedVersions = False,
) -> None:
    """Fits one fold of one scenario again; its old result is set aside."""
    from harness.load import load_study
    from harness.progress import Reporter
    from harness.terminal.runs import show_reproduction

    loaded, at = load_study(study, overrides or [], data), open_store(store, mixed_versions=mixed_versions)
    with Reporter() as reporter:
        from harness.reproduce import rerun as run_again

        done = run_again(loaded, at, device, reporter, scenario, fold, repeat)
    if done.compared is not None:
        show_reproduction(done.compared)
    if done.run.failed:
        raise typer.Exit(1)


def doctor(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Look at its weights, too.", readable=False)
    ] = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
) -> None:
    """Looks at the machine and the store: one page. Exit code 1 where something is in the way. Changes nothing."""
    from harness.doctor import examine
    from harness.load import load_study
    from harness.store import Store
    from harness.terminal.checks import show_checks

    checks = examine(Store(store), load_study(study, overrides or []) if study else None)
    show_checks(checks)
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(1)


def cache(
    store: StorePath = MLRUNS,
    clear: Annotated[
        Literal["pixels", "features", "all"] | None, typer.Option("--clear", help="Remove these; runs make them anew.")
    ] = None,
) -> None:
    """Shows what is kept only to be quick, and how large it is; --clear removes it."""
    from harness.cached import clear as remove
    from harness.cached import entries
    from harness.store import Store
    from harness.terminal.checks import show_cache

    at = Store(store)
    if clear:
        at.require_open()
        show_cache(at, remove(at, None if clear == "all" else clear), "removed")
    show_cache(at, entries(at), "kept")
