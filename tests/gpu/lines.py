"""The lines of the check: printed, and written as JSON and as a Markdown table after each of them."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.store.files import write_atomic
from harness.study.provenance import code_and_machine
from tests.gpu.machine import gpu_words, torch_words
from tests.markdown import markdown_table


@dataclass(frozen=True)
class Line:
    """One check: PASS, FAIL or SKIP, and what was found. trace: of a FAIL."""

    verdict: str
    name: str
    words: str
    seconds: float
    trace: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}  {self.name}: {self.words}  [{self.seconds:.0f} s]"


@dataclass
class Lines:
    """The lines so far. file: the JSON; the table lies beside it as `.md`."""

    file: Path
    simulated: bool
    lines: list[Line] = field(default_factory=list)
    head: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note the machine."""
        gpu = "SIMULATED" if self.simulated else gpu_words()
        self.head = {**code_and_machine(), "gpu": gpu, "torch": torch_words(), "time": time.strftime("%Y-%m-%d %H:%M")}

    @property
    def summary(self) -> str:
        """How many lines of each kind."""
        counts = [
            f"{sum(line.verdict == verdict for line in self.lines)} {verdict}" for verdict in ("PASS", "FAIL", "SKIP")
        ]
        return f"{', '.join(counts)}; {self.file} and {self.file.with_suffix('.md').name}"

    def add(self, line: Line) -> None:
        """Add a line, and write both files: whatever ends the check later, this line is there."""
        self.lines.append(line)
        write_atomic(
            self.file, json.dumps({"head": self.head, "lines": list(map(asdict, self.lines))}, indent=1).encode()
        )
        head = [f"- {name}: {value}" for name, value in self.head.items()]
        rows = [[line.verdict, line.name, line.words, f"{line.seconds:.0f}"] for line in self.lines]
        table = markdown_table(["", "check", "found", "s"], rows)
        traces = [f"\n```\n{line.trace}```" for line in self.lines if line.trace]
        write_atomic(self.file.with_suffix(".md"), "\n".join([*head, "", table, *traces, ""]).encode())
