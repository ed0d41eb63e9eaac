"""The command `audit`."""

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    DataPath,
    Overrides,
    StorePath,
    StudyFile,
)

if TYPE_CHECKING:
    pass


def audit(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Looks through the images for leaks, duplicates and shifts. Trains nothing."""
    from harness.cli.show.findings import show_audit
    from harness.data.audit import ERRORS, audit_study, require_clean
    from harness.execution.progress import Reporter
    from harness.prepare import prepare
    from harness.store import Store
    from harness.study import load_study

    loaded, at = load_study(study, overrides or [], data), Store(store)
    inputs = prepare(loaded, at, accepted=ERRORS)  # an audit looks at everything first
    with Reporter() as reporter:
        found = audit_study(loaded, inputs.dataset, inputs.folds, at, reporter.counting)
    if as_json:
        print(found.to_json())
    else:
        show_audit(found)
    require_clean(found)
