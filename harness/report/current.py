"""The report as it is stored, written again only where something that it is made of has changed."""

import json
from collections.abc import Iterable
from pathlib import Path
from time import time
from typing import Any

from harness.data.inputs import Workspace
from harness.report.numbers.comparisons import RunOf
from harness.report.numbers.look_history import LookHistory
from harness.report.page import PageLinks
from harness.report.registered import registration_findings
from harness.report.written import package_versions, report_code
from harness.store.explanations import explanations_file
from harness.store.files import read_json, sha256_of, write_atomic
from harness.study.identity import digest
from harness.study.state import StudyState

Stamps = dict[str, list[int] | str]  # file -> size in bytes and time of the last change in nanoseconds, or its hash
NOTES = {"files": False, "content": True}  # what is noted when a report is written -> whether by hashes


def update_report(
    workspace: Workspace, state: StudyState, run_of: RunOf = lambda *_: None, links: PageLinks | None = None
) -> Path:
    """Write the report of a study unless it is up to date, and return the path of its `report.md`.

    It is up to date where nothing that decides it has changed since it was written, and none of its files.
    run_of, links: see write_report.
    """
    if any(test.finished for test in state.tests):
        for dataset in workspace.inputs.dataset.each_set:
            workspace.ledger.looks.count_machine(dataset, time())
    folder = workspace.report_folder(state.empty)
    by = current_by(workspace, state, links)
    if by is None:
        from harness.report.write import write_report

        write_report(workspace, state, run_of, links)
    parts = (folder, folder / "images", folder / "patients")
    notes = {path.name for part in parts for path in part.glob("*.txt")}
    complete = notes == {"environment.txt"}  # others: why a figure is missing
    if by == "content" or (by is None and complete):  # in a copy the times are noted, so that no file is read again
        note = {kind: _note(workspace, state, links, hashed) for kind, hashed in NOTES.items()}
        write_atomic(_note_file(workspace), json.dumps(note).encode())
    return folder / "report.md"


def is_current(workspace: Workspace, state: StudyState, links: PageLinks | None = None) -> bool:
    """Whether the stored report is up to date: by the files' sizes and times, or, in a copy of a store, by hashes."""
    return current_by(workspace, state, links) is not None


def current_by(workspace: Workspace, state: StudyState, links: PageLinks | None = None) -> str | None:
    """Return which of the `NOTES` shows that the stored report is up to date, the fastest first; None: it is not."""
    noted: dict[str, Any] = read_json(_note_file(workspace)) or {}
    same = (kind for kind, hashed in NOTES.items() if noted.get(kind) == _note(workspace, state, links, hashed))
    return next(same, None) if noted else None


def _note_file(workspace: Workspace) -> Path:
    return workspace.store.cache / "reports" / f"{workspace.identity}.json"


def _note(workspace: Workspace, state: StudyState, links: PageLinks | None, hashed: bool) -> str:
    """The digest of a report and of what it is made of."""
    files = _stamps(workspace.report_folder(state.empty), hashed)
    return digest([files, _made_of(workspace, state, links, hashed)])


def _made_of(workspace: Workspace, state: StudyState, links: PageLinks | None, hashed: bool) -> str:
    """The digest of everything that decides a report: study, commands, results, looks, links, code, packages, ..."""
    study, store, ledger = workspace.study, workspace.store, workspace.ledger
    ids = sorted({job.id for fit in state.fits for job in fit.jobs})
    maps = [path for job_id in ids for path in sorted(explanations_file(store, job_id).parent.glob(f"{job_id}*"))]
    results = [workspace.folder, *map(ledger.path, ids), *maps, *sorted(ledger.looks.root.glob("*/*"))]
    return digest(
        [
            study.model_dump(mode="json", exclude={"data": {"path"}, "paper": True}),
            [study.text, {name: list(values) for name, values in study.changed.items()}],
            study.paper_file.read_text(encoding="utf-8") if study.paper_file else None,
            workspace.identity,
            store.mixed_versions,
            [finding.text for finding in LookHistory(workspace, state.scenarios, state.tests).findings],
            [finding.text for finding in registration_findings(workspace, state)],
            [[path.relative_to(store.root).as_posix(), _stamps(path, hashed)] for path in results],
            dict(links or {}),
            report_code(),
            list(package_versions().values()),
        ]
    )


def _stamps(path: Path, hashed: bool) -> Stamps:
    """The stamps of a file, or of every file below a folder: hashes, or sizes and times, for which none is read."""
    files: Iterable[Path] = [path] if path.is_file() else sorted(path.rglob("*"))
    return {file.relative_to(path).as_posix(): _stamp(file, hashed) for file in files if file.is_file()}


def _stamp(file: Path, hashed: bool) -> list[int] | str:
    stat = file.stat()
    return sha256_of(file) if hashed else [stat.st_size, stat.st_mtime_ns]
