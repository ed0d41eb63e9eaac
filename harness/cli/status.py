"""The command `status`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from harness.cli.options import (
    MLRUNS,
    DataPath,
    Overrides,
    StorePath,
    StudyFile,
)


def status(
    study: StudyFile,
    data: DataPath = None,
    store: StorePath = MLRUNS,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Says what is done, running, failed and missing, and why. Changes nothing."""
    from harness.cli.show.runs import show_status
    from harness.prepare import prepare
    from harness.store import Store
    from harness.study import load_study
    from harness.study.status import study_status

    loaded, at = load_study(study, overrides or [], data), Store(store)
    if not at.root.exists():
        raise loaded.error(("study",), f"nothing was run in {at.root} yet; first run: harness run STUDY")
    inputs = prepare(loaded, at)
    found = study_status(loaded, inputs.digests, bool(len(inputs.dataset.rows("test"))), at)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    else:
        show_status(found)
