"""The errors of the harness, each kind with the exit code of the command that it ends."""

import errno
import logging
import os
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def redact(text: str) -> str:
    """Replace the password of every URL in the text by `***`: for everything that is printed, logged or stored."""
    # Up to the last @: a password may contain one. One slash is enough: pathlib drops the second one.
    text = re.sub(r"(:/+[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"([?&](?:ssl)?password=)[^&\s]*", r"\1***", text)


def printable(path: str) -> str:
    """Escape bytes that are not UTF-8, and control characters, so that the path can be printed."""

    def escaped(character: str) -> str:
        if "\udc80" <= character <= "\udcff":  # how Python represents such a byte
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character if character.isprintable() else character.encode("unicode_escape").decode()

    return "".join(map(escaped, path))


def first_line(error: BaseException) -> str:
    """The first line of the error's message; the name of its class where the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(error: BaseException, limit: int = 200) -> str:
    """The message of the error on one line, cut to `limit` characters; the name of its class where it is empty."""
    return " ".join(str(error).split())[:limit].strip() or type(error).__name__


def described(error: BaseException) -> str:
    """`ValueError: first line of the message`; the message alone of a HarnessError, which is written for users."""
    first = first_line(error)
    return first if isinstance(error, HarnessError) else f"{type(error).__name__}: {first}"


def disk_is_full(error: BaseException | None) -> bool:
    """Whether this error, or one that caused it, means that the disk is full."""
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or "database or disk is full" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


DAMAGED_DATABASE = ("database disk image is malformed", "file is not a database")  # SQLite's words


def permission_problem(error: BaseException | None) -> str | None:
    """What may not or cannot be read or written, by this error or one that caused it; None for other errors."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            place = str(Path(os.fsdecode(error.filename)).absolute()) if error.filename else "a file"
            return f"{re.sub(r'/[.]new-[^/]*', '', place) or '/'}: {error.strerror}"  # a temporary folder: its parent
        for words in ("attempt to write a readonly database", "unable to open database file", *DAMAGED_DATABASE):
            if words in str(error):
                return f"the store's database: {words}; `harness doctor` says more"
        if "No usable temporary directory" in str(error):
            return "there is no folder for temporary files; name one by TMPDIR"
        error = error.__cause__ or error.__context__
    return None


class HarnessError(Exception):
    """One line for the user: what was given, what is allowed, how to fix it."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """The line that the command line prints: IPython shows it in place of a traceback."""
        return [f"error: {redact(str(self))}"]


class StudyError(HarnessError):
    """The request is wrong: the study file, an option or a name."""


class DataError(HarnessError):
    """The images are wrong: a missing folder, an empty class, an unreadable file.

    field: the field of the study file that causes the error, where it is known.
    """

    def __init__(self, message: str, field: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.field = field


class LeakageError(DataError):
    """The same image or patient would stand on both sides of a split."""


class TrackingError(HarnessError):
    """The connection to the tracking server was lost; the results are stored on disk."""

    exit_code = 4


class BusyError(HarnessError):
    """Another process is running this study in this store."""

    exit_code = 3


class Stopped(BaseException):
    """A signal asked the run to stop. Not an Exception, so that no `except Exception` of a job catches it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.exit_code = 128 + signal_number


class JobError(Exception):
    """One job failed; the others continue. Executors return it as an outcome and never raise it."""

    def __init__(self, job_id: str, reason: str, details: str = "") -> None:
        super().__init__(job_id, redact(reason), redact(details))
        self.job_id = job_id
        self.reason = redact(reason)
        self.details = redact(details)


LOG = logging.getLogger("harness")  # printed on the terminal, by the Reporter or by Python's default handler


def attempt(
    loss: str, log: Path, make: Callable[[], object], passing: Callable[[Exception], bool] = disk_is_full
) -> bool:
    """Call `make` and return whether it succeeded; an error is logged as a warning instead of being raised.

    For outputs that no number depends on. The warning is one line that starts with `loss`; that line and the traceback
    are written to the file `log`, which a later success removes.
    passing: which errors to raise after all; a full disk always is.
    """
    try:
        make()
    except Exception as error:
        if disk_is_full(error) or passing(error):
            raise
        line = redact(f"{loss}: {described(error)}")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(redact(f"{line}\n\n{traceback.format_exc()}"), encoding="utf-8")
        LOG.warning("%s (traceback: %s/%s)", line, log.parent.name, log.name)
        return False
    log.unlink(missing_ok=True)
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """Print no warning of `attempt` within this block; what failed is said elsewhere."""
    before, LOG.disabled = LOG.disabled, True
    try:
        yield
    finally:
        LOG.disabled = before


def failure(log: Path) -> str | None:
    """The warning of the last `attempt` with this log file; None where it succeeded, or there was none."""
    return log.read_text(encoding="utf-8").splitlines()[0] if log.exists() else None
