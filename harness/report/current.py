"""The report as it is stored, written again only where something that it is made of has changed."""

import json
from pathlib import Path
from time import time

from harness.data.inputs import Workspace
from harness.report.numbers.comparisons import RunOf
from harness.report.numbers.look_history import LookHistory
from harness.report.page import PageLinks
from harness.report.written import package_versions, report_code
from harness.store.explanations import explanations_file
from harness.store.files import write_atomic
from harness.study.identity import digest
from harness.study.state import StudyState

Stamps = dict[str, list[int]]  # file -> size in bytes, time of the last change in nanoseconds


def update_report(
    workspace: Workspace, state: StudyState, run_of: RunOf = lambda *_: None, links: PageLinks | None = None
) -> Path:
    """Write the report of a study unless it is up to date, and return the path of its `report.md`.

    It is up to date where nothing that decides it has changed since it was written, and none of its files.
    run_of, links: see write_report.
    """
    if any(test.finished for test in state.tests):
        workspace.ledger.looks.count_machine(workspace.inputs.dataset, time())
    folder = workspace.report_folder(state.empty)
    note_file = workspace.store.cache / "reports" / f"{workspace.identity}.json"
    made = _made_of(workspace, state, links)
    if _noted(note_file) != {"made_of": made, "files": _stamps(folder)}:
        from harness.report.write import write_report

        write_report(workspace, state, run_of, links)
        if {path.name for path in folder.glob("*.txt")} == {"environment.txt"}:  # others say why a figure is missing
            note = {"made_of": made, "files": _stamps(folder)}
            write_atomic(note_file, json.dumps(note).encode())
    return folder / "report.md"


def _noted(file: Path) -> object:
    """What was noted when the report was written; None where nothing was."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _made_of(workspace: Workspace, state: StudyState, links: PageLinks | None) -> str:
    """The digest of everything that decides a report: study, commands, results, looks, links, code, packages, ...

    Files of results count by their size and time of change, so that none has to be read.
    """
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
            [[path.relative_to(store.root).as_posix(), _stamps(path)] for path in results],
            dict(links or {}),
            report_code(),
            list(package_versions().values()),
        ]
    )


def _stamps(path: Path) -> Stamps:
    """The stamps of a file, or of every file below a folder."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    found = {file.relative_to(path).as_posix(): file.stat() for file in files if file.is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}
