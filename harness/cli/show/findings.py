"""Print an audit, the checks of the doctor and the cache."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text

from harness.cli.show.console import new_console, rows_table, show_marks
from harness.store import Store

if TYPE_CHECKING:
    from harness.data.audit import Audit
    from harness.doctor import Check
    from harness.store.cache import CacheEntry

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}  # of severities


def show_audit(audit: "Audit", marks: Iterable[str]) -> None:
    """Print the findings of an audit, errors first. marks: of every number of the study."""
    show_marks(new_console(), marks)
    from harness.report.sections.advice import advice

    rows = [
        [Text(f.severity + (" (accepted)" if f.accepted else ""), STYLES[f.severity]), f.name, f.text, advice(f)]
        for f in audit.findings
    ]
    new_console().print(rows_table("audit", ["severity", "finding", "what was found", "what to do"], rows))


def show_checks(checks: "list[Check]") -> None:
    """Print the checks of the doctor."""
    new_console().print(rows_table("doctor", ["check", "", "found"], [[c.name, c.verdict, c.text] for c in checks]))


def show_cache(store: Store, entries: "list[CacheEntry]", verb: str) -> None:
    """Print entries of the cache (`verb`: cached or removed) and their total size."""
    console, total = new_console(), sum(entry.size for entry in entries) / 2**20
    if entries:
        rows = [[e.kind, e.text, f"{e.size / 2**20:,.1f}"] for e in entries]
        console.print(rows_table(f"{verb} in {store.root / 'cache'}", ["kind", "what", "MiB"], rows))
    console.print(f"{verb}: {total:,.1f} MiB")
