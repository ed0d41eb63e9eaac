"""Write a report again from the stored results, in a temporary folder, and compare every file with the stored one."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import __version__
from harness.data.inputs import Workspace
from harness.errors import described, quiet
from harness.report.draft import Draft
from harness.report.numbers.comparisons import TEST, RunOf
from harness.report.numbers.records import Statistics
from harness.report.page import write_page
from harness.report.published.front import FRONT, write_front
from harness.report.verified.differences import RELATIVE_TOLERANCE, FileComparison, compare_files
from harness.report.verified.verified_item import Verdicts, VerifiedItem
from harness.report.write import write_report
from harness.report.written import FILE, Written, finished_results, package_versions, report_code
from harness.store import Store
from harness.store.chain import copy_until
from harness.store.machine import STORE_FILE
from harness.store.seals import SEAL

SHARED = ("jobs", "explanations", "studies", "registrations")  # of a report
NOT_MADE_AGAIN = {SEAL, FILE}
FIGURES = (".png", ".svg")


@dataclass(frozen=True)
class Tools:
    """How this report was written and how it is written here: what may change words, last digits and figures."""

    same_code: bool
    packages: str  # those of other versions: `numpy 2.1.0, here 2.2.0`; empty where there are none

    @property
    def words(self) -> str:
        """Why words or figures may differ; empty where nothing explains it."""
        code = "" if self.same_code else f"written by other code than that of this harness ({__version__})"
        return "; ".join(part for part in (code, self.packages) if part)


def tools_of(written: Written | None) -> Tools:
    """The differences between the tools that wrote a report and those here."""
    if written is None:
        return Tools(False, "")
    here = package_versions()
    other = [f"{name} {old}, here {here[name]}" for name, old in written.packages.items() if here.get(name) != old]
    return Tools(written.code == report_code(), ", ".join(other))


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
        if written:
            yield from _later_looks(workspace, place, written)
        with _view(workspace, written) as view:
            with quiet():
                again = write_report(view, state, _run_of(folder, view)).parent
            yield from _compared(folder, again, place, tools)
            if (workspace.store.root / FRONT[0]).exists():  # it was published
                yield from _front_items(workspace, Draft(view, state, _statistics(again), again), tools)
        yield _page_item(folder, place, written, tools)
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
def _view(workspace: Workspace, written: Written | None) -> Iterator[Workspace]:
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
    stored = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))["estimates"]
    runs = {(e["on"] == TEST, e["subject"]): e.get("run_id") for e in stored if e["on"] in (TEST, "folds")}
    names = {fit.id: fit.name for fit in workspace.reader.read(provisional=True).fits}
    return lambda level, key: runs.get((level == "test", names.get(key, "")))


def _compared(folder: Path, again: Path, place: str, tools: Tools) -> Iterator[VerifiedItem]:
    """Compare all files but the page; the numbers first, which tell whether last digits differ here."""
    names = sorted({*_files(folder), *_files(again)} - NOT_MADE_AGAIN - {"index.html"}, key=_numbers_first)
    digits = 0
    for name in names:
        what = f"{place}/{name}"
        if not (folder / name).exists():
            yield VerifiedItem(
                "reports", what, "cannot be checked" if tools.words else "differs", "is missing; the results give it"
            )
        elif not (again / name).exists():
            yield VerifiedItem("reports", what, "cannot be checked", "does not follow from the results")
        else:
            found = compare_files(folder / name, again / name, rounding=digits > 0)
            digits += found.rounded
            yield _item(what, name, found, tools, digits > 0)


def _front_items(workspace: Workspace, draft: Draft, tools: Tools) -> Iterator[VerifiedItem]:
    """Write the files at the top of a published folder again, and compare them."""
    root, again = workspace.store.root, draft.workspace.store.root
    write_front(draft, again)
    for name in FRONT:
        if (root / name).exists():
            yield _item(name, name, compare_files(root / name, again / name), tools, rounded=False)
        else:
            yield VerifiedItem("reports", name, "differs", "is missing")


def _statistics(folder: Path) -> Statistics:
    return Statistics.model_validate_json((folder / "statistics.json").read_text(encoding="utf-8"))


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _numbers_first(name: str) -> tuple[bool, bool, str]:
    return not name.endswith(".json"), not name.endswith(".csv"), name


def _item(what: str, name: str, found: FileComparison, tools: Tools, rounded: bool) -> VerifiedItem:
    """The item of one file. Figures may differ where last digits do, words where other code wrote them."""
    if found.differences:
        excused = tools.words if name.endswith(FIGURES) or not name.endswith((".json", ".csv")) else ""
        if name.endswith(FIGURES) and rounded:
            excused = excused or "the last digits of its numbers differ"
        if excused:
            return VerifiedItem("reports", what, "cannot be checked", f"{excused}: {found.differences[0]}")
        more = f"; and {len(found.differences) - 1} more" if len(found.differences) > 1 else ""
        return VerifiedItem("reports", what, "differs", f"{found.differences[0]}{more}")
    digits = f", {found.rounded} of them to {RELATIVE_TOLERANCE:g}" if found.rounded else ""
    because = f" ({tools.packages or 'the same packages: another processor'})" if found.rounded else ""
    words = (
        f"{found.numbers} numbers follow from the results{digits}{because}"
        if found.numbers
        else "written again, it is the same"
    )
    return VerifiedItem("reports", what, "holds", words)


def _page_item(folder: Path, place: str, written: Written | None, tools: Tools) -> VerifiedItem:
    """Make the page again from the stored `report.md` and figures."""
    with TemporaryDirectory() as temporary:
        copy = Path(shutil.copytree(folder, Path(temporary) / "report"))
        page = write_page(copy, written.links if written else None)
        same = page.read_bytes() == (folder / "index.html").read_bytes()
    what = f"{place}/index.html"
    if same:
        return VerifiedItem("reports", what, "holds", "it shows what report.md and the figures say")
    verdict: Verdicts = "cannot be checked" if tools.words else "differs"
    return VerifiedItem(
        "reports",
        what,
        verdict,
        f"{f'{tools.words}: ' if tools.words else ''}not the page of report.md and the figures",
    )
