"""What can go wrong, each kind with the exit code that it ends the command with."""

import errno
import logging
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path


def redact(text: str) -> str:
    """The text with `***` for the password of every URL in it: for all that is printed, logged or stored."""
    # Up to the last @: a password may hold one itself. One slash is enough: a path leaves out the second one.
    text = re.sub(r"(:/+[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"([?&](?:ssl)?password=)[^&\s]*", r"\1***", text)


def printable(path: str) -> str:
    """The path as it can be printed: bytes that are not UTF-8, and control characters, as escapes."""

    def escaped(character: str) -> str:
        if "\udc80" <= character <= "\udcff":  # how Python holds such a byte
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character if character.isprintable() else character.encode("unicode_escape").decode()

    return "".join(map(escaped, path))


def first_line(error: BaseException) -> str:
    """What an error says, in one line; the name of its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def disk_is_full(error: BaseException | None) -> bool:
    """Whether this error, or one that it came from, says that nothing more can be written."""
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or "database or disk is full" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def forbidden(error: BaseException | None) -> str | None:
    """What this error, or one that it came from, says that may not be read or written here; None for other errors."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            place = str(Path(os.fsdecode(error.filename)).absolute()) if error.filename else "a file"
            return f"{re.sub(r'/[.]new-[^/]*', '', place) or '/'}: {error.strerror}"  # not there yet: its folder
        for words in ("attempt to write a readonly database", "unable to open database file"):
            if words in str(error):
                return f"the store's database: {words}"
        if "No usable temporary directory" in str(error):
            return "there is no folder for temporary files; name one by TMPDIR"
        error = error.__cause__ or error.__context__
    return None


class HarnessError(Exception):
    """One line for the user: what was given, what is allowed, how to mend it."""

    exit_code = 2


class StudyError(HarnessError):
    """The request is wrong: the study file, an option, a name."""


class DataError(HarnessError):
    """The images are wrong: a missing folder, an empty class, an unreadable file.

    field: the place in the study file that is to blame, where the one who raises it knows.
    """

    def __init__(self, message: str, field: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field


class LeakageError(DataError):
    """The same image or patient would stand on both sides of a split."""


class TrackingError(HarnessError):
    """The tracking server was lost; the results are stored all the same."""

    exit_code = 4


class BusyError(HarnessError):
    """Another runner holds this study in this store."""

    exit_code = 3


class Stopped(BaseException):
    """A signal asked the run to end; not an Exception, so that no job handler swallows it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.exit_code = 128 + signal_number


class JobError(Exception):
    """One job failed; the others go on. Returned as an outcome, never raised past an executor."""

    def __init__(self, job_id: str, reason: str, details: str = "") -> None:
        super().__init__(job_id, redact(reason), redact(details))
        self.job_id = job_id
        self.reason = redact(reason)
        self.details = redact(details)


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
