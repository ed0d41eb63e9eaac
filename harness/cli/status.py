"""The command `status`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataPath, Overrides, StoreFolder, StudyFile, read_study


def status(
    study_file: StudyFile,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Show what is done, running, failed and missing, and why. Changes nothing."""
    from harness.cli.show.runs import show_status
    from harness.prepare import prepare
    from harness.report.numbers.marks import study_marks
    from harness.store import Store
    from harness.study.status import study_status

    study, store = read_study(study_file, data, overrides), Store(store_folder)
    if not store.root.exists():
        raise study.error(("study",), f"nothing was run in {store.root} yet; first run: harness run STUDY")
    workspace = prepare(study, store)
    found = study_status(study, workspace.inputs.digests, workspace.has_test, store)
    marks = study_marks(study, workspace.inputs.dataset.synthetic)
    if as_json:
        print(json.dumps({"marks": marks} | asdict(found), indent=1))
    else:
        show_status(found, marks)
