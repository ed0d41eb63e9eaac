"""Compare the files of a stored report with those that were written again."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import __version__
from harness.report.page import write_page
from harness.report.verified.differences import RELATIVE_TOLERANCE, FileComparison, compare_files
from harness.report.verified.verified_item import Verdicts, VerifiedItem
from harness.report.written import FILE, Written, package_versions, report_code
from harness.store.seals import SEAL

NOT_MADE_AGAIN = {SEAL, FILE}
FIGURES = (".png", ".svg")
NUMBERS = (".json", ".csv")
WORDED = ("checklist.csv",)  # tables of sentences, as their .md and .tex


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


def compared_items(folder: Path, again: Path, place: str, tools: Tools) -> Iterator[VerifiedItem]:
    """Compare all files but the pages; the numbers first, which tell whether last digits differ here."""
    every = {*_files(folder), *_files(again)} - NOT_MADE_AGAIN
    names = sorted((name for name in every if not name.endswith("index.html")), key=_numbers_first)
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
            yield compared_item(what, name, found, tools, digits > 0)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _numbers_first(name: str) -> tuple[bool, bool, str]:
    return not name.endswith(".json"), not name.endswith(".csv"), name


def compared_item(what: str, name: str, found: FileComparison, tools: Tools, rounded: bool) -> VerifiedItem:
    """The item of one file. Figures may differ where last digits do, words where other code wrote them."""
    if found.differences:
        worded = Path(name).name in WORDED or not name.endswith(NUMBERS)
        excused = tools.words if worded else ""
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


def page_item(folder: Path, place: str, written: Written | None, tools: Tools) -> VerifiedItem:
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
