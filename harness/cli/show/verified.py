"""Print what a verification has found."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.cli.show.console import new_console, relative, rows_table
from harness.study.number_words import number_of

if TYPE_CHECKING:
    from harness.report.published.publication import PublishedFolder
    from harness.report.verified.verified_item import Verdicts, VerifiedItem

VERDICTS: "tuple[Verdicts, ...]" = ("holds", "differs", "cannot be checked", "not covered")


def show_items(items: "Sequence[VerifiedItem]") -> None:
    """Print the counts of each part, then everything that does not hold, what differs first."""
    console = new_console()
    counts = Counter((item.part, item.verdict) for item in items)
    parts = list(dict.fromkeys(item.part for item in items))
    rows = [[part, *(counts[part, verdict] or "-" for verdict in VERDICTS)] for part in parts]
    console.print(rows_table("verified", ["", *VERDICTS], rows))
    for verdict in VERDICTS[1:]:
        found = _together([item for item in items if item.verdict == verdict])
        if found:
            console.print(rows_table(verdict, ["what", ""], found))
    total = Counter(item.verdict for item in items)
    words = ", ".join(f"{total[verdict]} {_counted(verdict)}" for verdict in VERDICTS[:3] if total[verdict])
    console.print(f"{'NOT AS IT WAS WRITTEN' if total['differs'] else 'as it was written'}: {words}", style="bold")


def _together(items: "Sequence[VerifiedItem]") -> list[list[str]]:
    """The items, those of one part with the same words on one line."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item in items:
        groups.setdefault((item.part, item.words), []).append(item.what)
    return [[_several(part, whats), words] for (part, words), whats in groups.items()]


def _several(part: str, whats: list[str]) -> str:
    return whats[0] if len(whats) == 1 else f"{len(whats)} {part}, such as {whats[0]}"


def _counted(verdict: str) -> str:
    return {"holds": "hold", "differs": "differ"}.get(verdict, verdict)


def show_published(found: "PublishedFolder", pictures: bool) -> None:
    """Print what was published, and what the author must still look at."""
    console = new_console()
    if not found.finished:
        console.print("UNFINISHED: fits of this study are missing; the page and the model card say so", style="bold")
    console.print(f"published: {relative(found.out)} ({number_of(found.files, 'file')}, {found.size / 2**20:,.1f} MiB)")
    console.print("not in it: the images, MLflow's runs, the cache")
    shown = "the small images that the report shows, " if pictures else ""
    console.print(f"in it: {shown}file names and patients of the images, names of all studies with looks at test sets")
    console.print("for you to complete: whatever says `author must state` in model-card.md, CITATION.cff, checklist.md")
    for file, place in found.private.items():
        console.print(f"look at {file}: it names {place}")
    packed = f"unpack it, then: harness verify {found.out.stem}"
    where = packed if found.out.suffix == ".zip" else f"harness verify {relative(found.out)}"
    console.print(f"check it: {where}")
