"""Publish a study: everything that its report is made of, in one folder that is a store of its own."""

import os
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.data.record import StudyRecord
from harness.errors import HarnessError, failure, quiet
from harness.report.draft import Draft
from harness.report.numbers.records import read_statistics
from harness.report.published.citation import citation
from harness.report.published.copies import (
    Publication,
    copy_explanations,
    copy_results,
    remove_models,
    remove_unused_pictures,
    write_line,
)
from harness.report.published.crate import CrateParts, write_crate
from harness.report.published.front import CITATION, CRATE, described, write_front
from harness.report.published.privacy import anonymise_record, anonymiser_of, private_places
from harness.report.verified.verify import Verification
from harness.report.write import write_report
from harness.store import Store
from harness.store.files import new_folder
from harness.store.seals import SEAL, seal
from harness.study.history import ENVIRONMENT_FILE


@dataclass(frozen=True)
class PublishedFolder:
    """What was published. private: the files that still name a place of this machine, and that place."""

    out: Path
    finished: bool
    files: int
    size: int  # bytes
    private: dict[str, str]


def publish(publication: Publication, out: Path) -> PublishedFolder:
    """Write a folder, or an archive where `out` ends in `.zip`: as a whole, or nothing.

    Raises HarnessError where that cannot be done, or where the store is not as it was written.
    """
    _refuse(publication, out)
    with new_folder(out.absolute().parent) as temporary:
        folder = temporary / out.stem if out.suffix == ".zip" else temporary / out.name
        finished = _fill(publication, folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        places = {f"{Path.home()}{os.sep}", f"{publication.workspace.store.root}{os.sep}"}
        found = PublishedFolder(out, finished, len(files), size, private_places(folder, places))
        if out.suffix == ".zip":
            Path(shutil.make_archive(str(temporary / "archive"), "zip", temporary, folder.name)).replace(out)
        else:
            folder.rename(out)
    return found


def _refuse(publication: Publication, out: Path) -> None:
    """Raise HarnessError where nothing can be written there, or nothing is there to be published."""
    study, store = publication.workspace.study, publication.workspace.store
    if out.is_dir() and any(out.iterdir()):
        raise HarnessError(f"--out {out}: this folder is not empty; name a new one")
    if out.exists() and not out.is_dir():
        raise HarnessError(f"--out {out}: this file exists; name a new one")
    if out.absolute().is_relative_to(store.root):
        raise HarnessError(f"--out {out}: this is inside the store {store.root}; name a folder outside it")
    there = next(path for path in out.absolute().parents if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise HarnessError(f"--out {out}: {there} is no folder that you may write to; name another one")
    state = publication.workspace.reader.read(provisional=True)
    if not any(fit.records for fit in state.fits):
        raise HarnessError(f"no fit of study {study.study} is finished in {store.root}; first run: harness run STUDY")


def _fill(publication: Publication, out: Path) -> bool:
    """Write everything into the folder; return whether the study is finished."""
    source, store = publication.workspace, Store(out, mixed_versions=True)
    copy_results(source, store)
    _refuse_damaged(store)
    anonymiser, record = anonymiser_of(source), StudyRecord(replace(source, store=store).folder)
    anonymise_record(record.folder, anonymiser)
    copy_explanations(publication, store, anonymiser)
    if not publication.models:
        remove_models(store)
    workspace = record.workspace(store)
    state = workspace.reader.read(provisional=True)
    with quiet() if not publication.pictures else nullcontext():
        report = write_report(workspace, state).parent
    remove_unused_pictures(workspace, report)
    _shorten_logs(report)
    draft, now = Draft(workspace, state, read_statistics(report), report, workspace.unit), datetime.now(UTC)
    write_front(draft, out)
    (out / CITATION).write_text(citation(workspace, now), encoding="utf-8")
    write_crate(out, _crate_parts(draft, out, now))
    seal(out)
    return state.finished


def _refuse_damaged(store: Store) -> None:
    """Raise HarnessError where fits or the record are not as they were written, or do not follow from one another."""
    verification = Verification(store)
    items = [*verification.whole(), *verification.records(), *verification.fits()]
    damaged = [i for i in items if i.verdict == "differs" and i.part in ("fits", "study records")]
    if damaged:
        first = damaged[0]
        more = f" (and {len(damaged) - 1} more: harness verify STORE)" if len(damaged) > 1 else ""
        raise HarnessError(f"nothing is published, as the store is damaged: {first.what}: {first.words}{more}")


def _shorten_logs(report: Path) -> None:
    """Cut the logs of failed figures to their first line: the others name places of this machine."""
    for path in report.rglob("*.txt"):
        if path.name != ENVIRONMENT_FILE:
            write_line(path, failure(path) or "")
    seal(report)


def _crate_parts(draft: Draft, out: Path, published: datetime) -> CrateParts:
    """What the crate describes: the files of the page, and the folders that they are in."""
    record, report = (folder.relative_to(out).as_posix() for folder in (draft.workspace.folder, draft.folder))
    inputs = [path for path in (f"{record}/manifest.parquet", f"{record}/folds.json") if (out / path).exists()]
    folders = {
        "jobs/": "finished fits: results and predictions",
        f"{report}/": "report",
        "looks/": "looks at test sets",
    }
    there = {path: words for path, words in folders.items() if (out / path).exists()}
    files = {path: words for path, words in described(draft, out).items() if path not in (CRATE, SEAL)}
    return CrateParts(
        draft.study.study, draft.study.description or draft.study.study, published, f"{record}/study.yaml", inputs,
        ["jobs/", f"{report}/"], {**there, **files}, draft.workspace.commands,
    )  # fmt: skip
