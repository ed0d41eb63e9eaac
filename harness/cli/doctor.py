"""The command `doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, Overrides, StoreFolder, read_study


def doctor(
    study_file: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Check its weights, too.", readable=False)
    ] = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
) -> None:
    """Check the machine and the store, on one page. Exit code 1 where a check fails. Changes nothing."""
    from harness.cli.show.findings import show_checks
    from harness.doctor import examine
    from harness.store import Store

    checks = examine(Store(store_folder), read_study(study_file, None, overrides) if study_file else None)
    show_checks(checks)
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(1)
