"""The command `status`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, StudyOrName, find_workspace


def status(
    study_file: StudyOrName,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Show what is done, running, failed and missing, and why. Changes nothing."""
    from harness.cli.show.runs import show_status
    from harness.report.numbers.marks import study_marks
    from harness.store import Store
    from harness.study.status import study_status

    store = Store(store_folder)
    workspace = find_workspace(study_file, data, overrides, store)
    digests, reading = workspace.inputs.digests, workspace.reading(workspace.unit)
    found = study_status(workspace.study, digests, workspace.has_test, store, reading)
    marks = study_marks(workspace.study, workspace.inputs.dataset.synthetic)
    if as_json:
        print(json.dumps({"marks": marks} | asdict(found), indent=1))
    else:
        show_status(found, marks)
