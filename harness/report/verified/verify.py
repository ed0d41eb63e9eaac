"""Verify a store: what is sealed is whole, and every number that follows from something else follows from it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.data.inputs import Workspace
from harness.data.record import StudyRecord, records
from harness.errors import described
from harness.report.verified.alike_again import alike_items
from harness.report.verified.fits import Planned, fit_item, planned_fits
from harness.report.verified.report_again import report_again_items
from harness.report.verified.sealed import explanation_items, sealed_explanations, sealed_folders
from harness.report.verified.study_inputs import image_items, record_items
from harness.report.verified.uncovered import uncovered_items
from harness.report.verified.verified_item import VerifiedItem
from harness.store import Store
from harness.store.check_looks import check_looks
from harness.store.machine import STORE_FILE
from harness.store.registrations import FOLDER, check_registrations
from harness.store.reports import SEARCH_FILE

CHANGED = "not computed again, since files that it follows from have changed"


SearchAgain = Callable[[Path, Store], Iterator[VerifiedItem]]  # writes the report of a search in a folder again


class Verification:
    """A verification of a store. data: the folder of the images, to compare their hashes, too.

    search_again: writes the report of a search again; None: that is not done.
    """

    def __init__(self, store: Store, data: Path | None = None, search_again: SearchAgain | None = None) -> None:
        self._store, self._data, self._search_again = store, data, search_again
        self._sealed = sealed_folders(store)
        self._readable = {folder.path for folder in self._sealed if folder.readable}
        self._covered = {folder.path for folder in self._sealed if folder.changed is not None}
        self._studies: dict[str, Workspace] = {}  # by study id
        self._planned: dict[str, Planned] = {}  # by job id

    def items(self) -> Iterator[VerifiedItem]:
        """Everything that was found, in the order of the way of the data."""
        yield from self.whole()
        yield from self.records()
        yield from self.fits()
        yield from self.reports()
        yield from self.uncovered()

    def uncovered(self) -> Iterator[VerifiedItem]:
        """The files that were not checked, after those that were."""
        return uncovered_items(self._store.root, self._covered)

    def whole(self) -> Iterator[VerifiedItem]:
        """Whether files have changed since they were written: seals and ledgers. Nothing is computed again."""
        for folder in self._sealed:
            yield from folder.items(self._store.root)
        self._covered |= sealed_explanations(self._store)
        yield from explanation_items(self._store)
        yield from self._ledgers()

    def _ledgers(self) -> Iterator[VerifiedItem]:
        """Check the ledger of looks and the registrations, which have hashes of their own."""
        root = self._store.root
        self._covered |= {root / name for name in ("looks", FOLDER, STORE_FILE)}
        for found in check_looks(self._store):
            what = f"looks/{found.what}" if (root / "looks" / found.what).exists() else found.what
            yield VerifiedItem("looks", what, found.verdict, found.words)
        for found in check_registrations(self._store):
            yield VerifiedItem("registrations", found.what, found.verdict, found.words)

    def records(self) -> Iterator[VerifiedItem]:
        """Check the record of every study, and its images where they are at hand."""
        for record in records(self._store):
            what = record.folder.relative_to(self._store.root).as_posix()
            if record.folder not in self._readable:
                yield VerifiedItem("study records", what, "cannot be checked", CHANGED)
                continue
            try:
                workspace = record.workspace(self._store)
                yield from record_items(record, workspace)
            except Exception as error:
                yield VerifiedItem("study records", what, "differs", f"cannot be read: {described(error)}")
                continue
            yield from self._images(record, workspace)
            yield from self._plan(what, workspace)

    def _plan(self, what: str, workspace: Workspace) -> Iterator[VerifiedItem]:
        """Note the fits that a study plans; yields an item only where that fails."""
        try:
            self._planned |= planned_fits(workspace)
            self._studies[workspace.identity] = workspace
        except Exception as error:
            changed = any(folder.part == "fits" and not folder.readable for folder in self._sealed)
            words = CHANGED if changed else f"its fits cannot be read: {described(error)}"
            yield VerifiedItem("study records", what, "cannot be checked" if changed else "differs", words)

    def _images(self, record: StudyRecord, workspace: Workspace) -> Iterator[VerifiedItem]:
        root = self._data
        if root is None and record.root.is_relative_to(self._store.data) and record.root.is_dir():
            root = record.root  # images that were drawn or unpacked in the store
            self._covered |= {file for file in workspace.inputs.dataset.files if file.is_relative_to(self._store.data)}
        found = list(image_items(record, workspace.inputs.dataset, root))
        yield from found
        if root is not None and all(item.verdict == "holds" for item in found):
            yield from alike_items(found[0].what, workspace, root)

    def fits(self) -> Iterator[VerifiedItem]:
        """Compute the metrics of every fit again."""
        for folder in (folder for folder in self._sealed if folder.part == "fits"):
            what, aside = folder.path.relative_to(self._store.root).as_posix(), folder.path.parent != self._store.jobs
            job_id = folder.path.name.rpartition("-")[0] if aside else folder.path.name
            if folder.readable:
                yield fit_item(folder.path, what, job_id, self._planned.get(job_id))
            else:
                yield VerifiedItem("fits", what, "cannot be checked", CHANGED)

    def reports(self) -> Iterator[VerifiedItem]:
        """Write every report again."""
        for folder in (folder.path for folder in self._sealed if folder.part == "reports"):
            if (folder / SEARCH_FILE).is_file():
                yield from self._search(folder)
                continue
            why = self._not_again(folder)
            if isinstance(why, Workspace):
                yield from report_again_items(folder, why)
            else:
                what = folder.relative_to(self._store.root).as_posix()
                yield VerifiedItem("reports", what, "cannot be checked", why)

    def _search(self, folder: Path) -> Iterator[VerifiedItem]:
        """Write the report of a search again."""
        changed = any(each.part == "fits" and not each.readable for each in self._sealed)
        if changed or self._search_again is None:
            why = CHANGED if changed else "the report of a search is not computed again"
            yield VerifiedItem("reports", folder.relative_to(self._store.root).as_posix(), "cannot be checked", why)
        else:
            yield from self._search_again(folder, self._store)

    def _not_again(self, folder: Path) -> Workspace | str:
        """The study whose report this is, or why it cannot be written again."""
        try:
            study_id = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))["study_id"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"it does not say of which study it is: {described(error)}"
        workspace = self._studies.get(study_id)
        if workspace is None:
            return f"the store has no record of study {study_id}, or cannot follow it to its fits"
        jobs = [
            workspace.ledger.path(job) for job, plan in self._planned.items() if plan.workspace.identity == study_id
        ]
        changed = [job for job in jobs if job.exists() and job not in self._readable]
        return CHANGED if changed else workspace
