"""The commands that fitted something for a study: one line of JSON each, in the folder of its record."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import time

from harness.store.files import write_atomic
from harness.store.seals import resealed
from harness.study.provenance import code_and_machine, environment

HISTORY_FILE = "commands.jsonl"
ENVIRONMENT_FILE = "environment.txt"


@dataclass(frozen=True)
class CommandEntry:
    """A command that fitted something. fits, failed, seconds: None where it was killed before it could say."""

    time: float  # of its start, in seconds since 1970
    device: str
    command: str
    git_commit: str
    git_dirty: str
    versions: str
    python: str
    machine: str
    fits: int | None = None
    failed: int | None = None
    seconds: float | None = None


def read_commands(folder: Path) -> tuple[CommandEntry, ...]:
    """The commands in the record of a study, the first one first; empty where none is recorded."""
    try:
        lines = (folder / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(CommandEntry(**json.loads(line)) for line in lines)


class CommandLog:
    """Records the command of this process in the folder of a study's record, once it fits something."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        self._started, self._before = time(), read_commands(folder)
        self._entry: CommandEntry | None = None

    def begin(self) -> None:
        """Record that the command fits something, with its environment: it may be killed while it does."""
        if self._entry is None:
            at = code_and_machine()
            self._entry = CommandEntry(
                self._started, self._device, at["command"], at["git_commit"], at["git_dirty"], at["versions"],
                at["python"], at["machine"],
            )  # fmt: skip
            self._write(self._entry, environment())

    def end(self, fits: int, failed: int) -> None:
        """Record how many jobs the command has fitted so far, and how long that took."""
        if self._entry is not None:
            self._write(replace(self._entry, fits=fits, failed=failed, seconds=time() - self._started))

    def _write(self, entry: CommandEntry, environment_text: str | None = None) -> None:
        lines = [json.dumps(asdict(each)) for each in (*self._before, entry)]
        with resealed(self._folder):
            if environment_text is not None:
                write_atomic(self._folder / ENVIRONMENT_FILE, environment_text.encode())
            write_atomic(self._folder / HISTORY_FILE, ("\n".join(lines) + "\n").encode())
