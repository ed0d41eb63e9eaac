"""The option `--rehearse`: the study of the command line, with so much left out that it fits into a time."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import read_study
from harness.errors import StudyError, printable

if TYPE_CHECKING:
    from harness.store import Store
    from harness.study import Study

RehearsalTime = Annotated[
    str | None,
    typer.Option("--rehearse", metavar="TIME", help="Leave out so much of the study that it fits: 90s, 10m or 2h."),
]
SECONDS_OF = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class AskedStudy:
    """The study that a command line asks for."""

    file: Path
    data: str | None
    overrides: Sequence[str]

    def load(self, more: Sequence[str] = ()) -> "Study":
        """Load it, with these further options."""
        return read_study(self.file, self.data, [*self.overrides, *more])

    def rehearsed(
        self, store: "Store", device: str, seconds: float, say: Callable[[str], None], trains: bool = False
    ) -> "Study":
        """The study that fits into this time; `say` gets what is left out, and how long it will take.

        trains: whether it is run next, with the weights that it names.
        """
        from harness.execution.rehearse import Rehearser

        store.require_open()  # what is timed is stored
        found = Rehearser(self.load, store, device, say).fit_into(seconds, trains)
        say(str(found))
        return found.study


def rehearsal_seconds(time: str | None) -> float | None:
    """The seconds of a time such as 90s, 10m or 2h; None of none. Raises StudyError for another text."""
    if time is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([smh])", time.strip())
    if found is None or float(found[1]) == 0:
        raise StudyError(f"--rehearse {printable(time)}: a time is a number with s, m or h, such as 90s, 10m or 2h")
    return float(found[1]) * SECONDS_OF[found[2]]
