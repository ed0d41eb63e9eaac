"""Standard error for a run of hours, which goes on where nobody reads its lines any more."""

import os
import sys
from pathlib import Path

from rich.console import Console

LOGS = "logs"  # in the store


class LastingConsole(Console):
    """The console on standard error. Once the reader of a pipe closes it, what follows goes to a log."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False, soft_wrap=True)
        self._log = Path(os.devnull)
        self._unread = False

    def log_to(self, path: Path) -> None:
        """Write to this file once the pipe is closed; until then it is not made."""
        self._log = path
        if self._unread:
            self._redirect()

    def on_broken_pipe(self) -> None:
        """Go on without a reader, in place of Rich's way, which ends the process."""
        self._buffer.clear()  # standard error still has what it could not write
        self._unread = True
        self._redirect()

    def _redirect(self) -> None:
        """Open the log as standard error, for worker processes and libraries, too."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
        if self._log != Path(os.devnull):
            self.print(f"the output was closed by its reader; process {os.getpid()} goes on, and its lines are here")
