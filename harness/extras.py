"""What a study can do without: a figure, an explanation, a copy of a file elsewhere. Each fails alone, and says so."""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

from harness.errors import HarnessError, disk_is_full, first_line, redact

LOG = logging.getLogger("harness")  # its lines come to the terminal, by the Reporter or as Python prints any warning


def attempt(
    loss: str, log: Path, make: Callable[[], object], passing: Callable[[Exception], bool] = disk_is_full
) -> bool:
    """Whether `make` came to its end. An error costs no more than it: it is said in one line, after `loss`.

    The line and the traceback go to the file `log`, which is removed by an attempt that ends well. For nothing that a
    number depends on. passing: which errors are raised all the same, as they concern more than this.
    """
    try:
        make()
    except Exception as error:
        if disk_is_full(error) or passing(error):
            raise
        first = first_line(error)
        line = redact(f"{loss}: {first if isinstance(error, HarnessError) else f'{type(error).__name__}: {first}'}")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(redact(f"{line}\n\n{traceback.format_exc()}"), encoding="utf-8")
        LOG.warning("%s (traceback: %s/%s)", line, log.parent.name, log.name)
        return False
    log.unlink(missing_ok=True)
    return True


def failure(log: Path) -> str | None:
    """The line that the last attempt with this file said; None where it ended well, or there was none."""
    return log.read_text(encoding="utf-8").splitlines()[0] if log.exists() else None
