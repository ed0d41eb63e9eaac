"""What was looked at or measured: the audit, the machine, the cache, the bench."""

from typing import TYPE_CHECKING

from harness.store import Store
from harness.terminal.console import new_console, relative, rows_table

if TYPE_CHECKING:
    from harness.bench.run import Measured
    from harness.cached import Entry
    from harness.data.audit import Audit
    from harness.doctor import Check


def show_audit(audit: "Audit") -> None:
    """Prints what the audit found, errors first."""
    rows = [[f.severity + (" (accepted)" if f.accepted else ""), f.name, f.text] for f in audit.findings]
    new_console().print(rows_table("audit", ["severity", "finding", ""], rows))


def show_checks(checks: "list[Check]") -> None:
    """Prints what the doctor found."""
    new_console().print(rows_table("doctor", ["check", "", "found"], [[c.name, c.verdict, c.text] for c in checks]))


def show_cache(store: Store, entries: "list[Entry]", verb: str) -> None:
    """Prints what the cache holds or what was removed of it, and how much that is."""
    console, total = new_console(), sum(entry.size for entry in entries) / 2**20
    if entries:
        rows = [[e.kind, e.text, f"{e.size / 2**20:,.1f}"] for e in entries]
        console.print(rows_table(f"{verb} in {store.cache}", ["kind", "what", "MiB"], rows))
    console.print(f"{verb}: {total:,.1f} MiB")


def show_bench(measured: "Measured") -> None:
    """Prints what a bench ran on, its figures with their goals, and the exact work of each."""
    console = new_console()
    for name, value in measured.head.items():
        console.print(f"{name:<10} {value}")
    rows = [
        [
            row.name,
            "-" if row.value is None else f"{row.value:.3g}",
            "" if row.low is None else f"{row.low:.3g} to {row.high:.3g}",
            row.rounds,
            row.goal or "",
            row.verdict,
        ]
        for row in measured.rows
    ]
    console.print()
    console.print(rows_table("bench", ["figure", "measured", "range", "n", "goal", ""], rows))
    for row in measured.rows:
        console.print(f"{row.name}: {row.work}")
    console.print(f"\nas JSON: {relative(measured.file)}")
