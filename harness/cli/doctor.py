"""The command `doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    Overrides,
    StorePath,
)


def doctor(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Look at its weights, too.", readable=False)
    ] = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
) -> None:
    """Looks at the machine and the store: one page. Exit code 1 where something is in the way. Changes nothing."""
    from harness.cli.show.findings import show_checks
    from harness.doctor import examine
    from harness.store import Store
    from harness.study import load_study

    checks = examine(Store(store), load_study(study, overrides or []) if study else None)
    show_checks(checks)
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(1)
