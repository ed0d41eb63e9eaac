"""The command `audit`."""

from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, StudyFile, read_study


def audit(
    study_file: StudyFile,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Check the images for leaks, duplicates and shifts. Trains nothing."""
    from harness.cli.show.findings import show_audit
    from harness.data.audit import ERRORS, audit_study, require_clean
    from harness.execution.progress import Reporter
    from harness.prepare import prepare
    from harness.report.numbers.marks import study_marks
    from harness.store import Store

    study, store = read_study(study_file, data, overrides), Store(store_folder)
    inputs = prepare(study, store, accepted=ERRORS).inputs  # an audit checks everything first
    with Reporter() as reporter:
        found = audit_study(study, inputs.dataset, inputs.folds, store, reporter.counting)
    marks = study_marks(study, inputs.dataset.synthetic)
    if as_json:
        print(found.to_json(marks))
    else:
        show_audit(found, marks)
    require_clean(found)
