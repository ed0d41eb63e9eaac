"""The command `report`."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    DataPath,
    MixedVersions,
    Overrides,
    StoreFolder,
    TrackingUri,
    find_workspace,
)  # fmt: skip
from harness.errors import StudyError


def report(
    study_file: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY]", help="The study file, or its name or id in the store.", readable=False),
    ] = None,
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    published: Annotated[
        Path | None,
        typer.Option("--published", metavar="FILE", help="Recompute a paper's figures; needs no run.", readable=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write to this folder.", readable=False),
    ] = None,
    checklist: Annotated[bool, typer.Option("--checklist", help="Print the path of the filled checklist.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the page's path and every number as JSON.")] = False,
    tracking_uri: TrackingUri = None,
    mixed_versions: MixedVersions = False,
) -> None:
    """Write the report again from the stored results, without training."""
    from harness.store import Store

    if (study_file is None) == (published is None) or (published is not None and out is None):
        raise StudyError("report takes a STUDY, or --published FILE --out DIR")
    if published is not None and out is not None:
        from harness.study.paper import load_published

        paper = load_published(published)
        from harness.report.recomputed_paper import write_published

        print(write_published(paper, out))
    elif study_file is not None:
        workspace = find_workspace(study_file, data, overrides, Store(store_folder, tracking_uri, mixed_versions))
        from harness.tracking.stored_report import report_elsewhere, report_study

        say = partial(print, file=sys.stderr)
        report = report_study(workspace, say) if out is None else report_elsewhere(workspace, out)
        page = report.with_name("index.html")
        print(
            _as_json(workspace.study.study, page) if as_json else page.with_name("checklist.md") if checklist else page
        )
        if show:
            typer.launch(page.as_uri())


def _as_json(study: str, page: Path) -> str:
    """The page's path and every number of the report; those of the other unit under `by_image` or `by_patient`."""
    numbers = json.loads(page.with_name("statistics.json").read_text(encoding="utf-8"))
    others = {f"by_{unit}": page.parent / f"{unit}s" / "statistics.json" for unit in ("image", "patient")}
    found = {key: json.loads(path.read_text(encoding="utf-8")) for key, path in others.items() if path.exists()}
    return json.dumps({"study": study, "page": str(page), **numbers, **found}, indent=1)
