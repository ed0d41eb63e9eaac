"""Write a report again from the stored results, in a temporary folder, and compare every file with the stored one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.data.inputs import Workspace
from harness.errors import described, quiet
from harness.report.draft import Draft
from harness.report.numbers.comparisons import TEST, RunOf
from harness.report.numbers.records import SCHEMA_VERSION, read_statistics
from harness.report.published.front import FRONT, write_front
from harness.report.verified.compared import Tools, compared_item, compared_items, page_item, tools_of
from harness.report.verified.differences import compare_files
from harness.report.verified.verified_item import VerifiedItem
from harness.report.write import write_report
from harness.report.written import Written, finished_results
from harness.store import Store
from harness.store.chain import copy_until
from harness.store.machine import STORE_FILE

SHARED = ("jobs", "explanations", "studies", "registrations")  # of a report


def report_again_items(folder: Path, workspace: Workspace) -> Iterator[VerifiedItem]:
    """Write the report of a study again and compare it with the one in `folder`."""
    place, written = folder.relative_to(workspace.store.root).as_posix(), Written.load(folder)
    tools = tools_of(written)
    try:
        state = workspace.reader.read(provisional=True)
        if written and written.results != finished_results(workspace, state):
            words = "fits or commands were added or removed since it was written: `harness report` writes it again"
            yield VerifiedItem("reports", place, "cannot be checked", words)
            return
        if (version := _stored(folder)["schema_version"]) != SCHEMA_VERSION:
            words = f"its numbers are those of version {version} of statistics.json, here of {SCHEMA_VERSION}"
            yield VerifiedItem("reports", place, "cannot be checked", f"{words}: `harness report` writes it again")
            return
        if written:
            yield from _later_looks(workspace, place, written)
        with temporary_view(workspace, written) as view:
            with quiet():
                again = write_report(view, state, _run_of(folder, view)).parent
            yield from compared_items(folder, again, place, tools)
            if (workspace.store.root / FRONT[0]).exists():  # it was published
                yield from _front_items(workspace, Draft(view, state, read_statistics(again), again, view.unit), tools)
        for page in sorted(folder.rglob("index.html")):
            other = page.parent != folder  # that of the other unit has no links into MLflow
            inside = page.parent.relative_to(workspace.store.root).as_posix()
            yield page_item(page.parent, inside, None if other else written, tools)
    except Exception as error:
        yield VerifiedItem("reports", place, "differs", f"cannot be written again: {described(error)}")


def _later_looks(workspace: Workspace, place: str, written: Written) -> Iterator[VerifiedItem]:
    """Say how many entries of the ledger of looks are newer than the report, if any."""
    last = workspace.ledger.looks.chain.last()
    later = last["number"] - written.looks if last else 0
    if later > 0:
        words = f"{later} later entries in the ledger of looks are not counted in it: `harness report` writes it again"
        yield VerifiedItem("looks", place, "cannot be checked", words)


@contextmanager
def temporary_view(workspace: Workspace, written: Written | None) -> Iterator[Workspace]:
    """The workspace in a temporary store that shares the results of this one and has its own reports.

    Its ledger of looks ends where it did when the report was written.
    """
    with TemporaryDirectory() as folder:
        store = Store(Path(folder), mixed_versions=True)
        for name in SHARED:
            _link(workspace.store.root / name, store.root / name)
        store.pictures.mkdir()  # pictures that are missing are written here
        for path in workspace.store.pictures.glob("*.png"):
            _link(path, store.pictures / path.name)
        last = written.looks if written else None
        if last != 0:  # the ledger had begun
            _link(workspace.store.root / STORE_FILE, store.root / STORE_FILE)
        copy_until(workspace.ledger.looks.chain, store.root / "looks", last)
        yield replace(workspace, store=store)


def _link(path: Path, place: Path) -> None:
    if path.exists():
        place.symlink_to(path)


def _run_of(folder: Path, workspace: Workspace) -> RunOf:
    """The MLflow runs that the stored report names; they are names, which no result decides."""
    stored = _stored(folder)["estimates"]
    runs = {(e["on"] == TEST, e["subject"]): e.get("run_id") for e in stored if e["on"] in (TEST, "folds")}
    names = {fit.id: fit.name for fit in workspace.reader.read(provisional=True).fits}
    return lambda level, key: runs.get((level == "test", names.get(key, "")))


def _stored(folder: Path) -> dict[str, Any]:
    """The stored numbers of a report, of whatever version."""
    content: dict[str, Any] = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
    return content


def _front_items(workspace: Workspace, draft: Draft, tools: Tools) -> Iterator[VerifiedItem]:
    """Write the files at the top of a published folder again, and compare them."""
    root, again = workspace.store.root, draft.workspace.store.root
    write_front(draft, again)
    for name in FRONT:
        if (root / name).exists():
            yield compared_item(name, name, compare_files(root / name, again / name), tools, rounded=False)
        else:
            yield VerifiedItem("reports", name, "differs", "is missing")
