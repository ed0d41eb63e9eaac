"""The command `audit`."""

from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, StudyOrName, find_workspace


def audit(
    study_file: StudyOrName,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    align: Annotated[bool, typer.Option("--align", help="Also find slightly turned, resized, cropped copies.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Check the images for leaks, duplicates and shifts. Trains nothing."""
    from harness.cli.show.findings import show_audit
    from harness.data.aligned_checks import with_aligned
    from harness.data.audit import audit_study, require_clean
    from harness.execution.progress import Reporter
    from harness.report.numbers.marks import study_marks
    from harness.store import Store

    workspace = find_workspace(study_file, data, overrides, Store(store_folder), for_audit=True)
    inputs = workspace.inputs
    with Reporter() as reporter:
        found = workspace.stored_audit or audit_study(
            workspace.study, inputs.dataset, inputs.folds, workspace.store, reporter.counting
        )
        if align:
            found = with_aligned(found, workspace.study, inputs, workspace.store, reporter.counting)
    marks = study_marks(workspace.study, inputs.dataset.synthetic)
    if as_json:
        print(found.to_json(marks))
    else:
        show_audit(found, marks)
    require_clean(found)
