"""What a bench has measured so far: as JSON, as a Markdown table, and in the terminal."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.cli.show.console import new_console, relative, rows_table
from harness.store.files import write_atomic
from tests.bench.figure import Row
from tests.markdown import markdown_table

COLUMNS = ["figure", "measured", "range", "n", "goal", ""]


@dataclass(frozen=True)
class Measured:
    """What a bench ran on, and its rows so far. file: the JSON file; the table lies beside it as `.md`.

    after_s: when each row was there, in seconds since the bench began; in the JSON file only.
    """

    head: dict[str, str]
    file: Path
    rows: list[Row] = field(default_factory=list)
    after_s: list[float] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @property
    def broken(self) -> list[Row]:
        """The rows whose measuring broke down."""
        return [row for row in self.rows if row.error]

    def add(self, row: Row) -> None:
        """Add a row, and write both files: whatever ends the bench later, this row is there."""
        self.rows.append(row)
        self.after_s.append(round(time.monotonic() - self._began, 1))
        rows = [
            {**asdict(row), "verdict": row.verdict, "after_s": after}
            for row, after in zip(self.rows, self.after_s, strict=True)
        ]
        content = {"head": self.head, "rows": rows}
        write_atomic(self.file, json.dumps(content, indent=1).encode())
        write_atomic(self.file.with_suffix(".md"), self._markdown().encode())

    def _markdown(self) -> str:
        head = [f"- {name}: {value}" for name, value in self.head.items()]
        work = [f"- {row.name}: {row.work}" for row in self.rows]
        return "\n".join([*head, "", markdown_table(COLUMNS, cells_of(self.rows)), "", *work, ""])


def cells_of(rows: Sequence[Row]) -> list[list[str]]:
    """The cells of the table, under COLUMNS."""
    return [
        [
            row.name,
            "-" if row.value is None else f"{row.value:.3g}",
            "" if row.low is None or row.high is None else f"{row.low:.3g} to {row.high:.3g}",
            str(row.rounds),
            str(row.goal or ""),
            row.verdict,
        ]
        for row in rows
    ]


def show_bench(measured: Measured) -> None:
    """Prints what a bench ran on, its figures with their goals, and the exact work of each."""
    console = new_console()
    for name, value in measured.head.items():
        console.print(f"{name:<10} {value}")
    console.print()
    console.print(rows_table("bench", COLUMNS, cells_of(measured.rows)))
    for row in measured.rows:
        console.print(f"{row.name}: {row.work}")
    console.print(f"\nas JSON: {relative(measured.file)}; as Markdown: {relative(measured.file.with_suffix('.md'))}")
