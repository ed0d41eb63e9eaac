"""Make commands work on any terminal, pipe, locale and user account without a traceback."""

import codecs
import io
import os
import pwd
import signal
import sys
from pathlib import Path

CLOSED_PIPE = 128 + signal.SIGPIPE  # the exit code where the reader of the output closed it
ASCII_SPELLING = {"±": "+/-", "…": "...", "—": "-"}  # other characters become \\xNN


def replace_unencodable() -> None:
    """Replace characters that the encoding of the standard streams lacks, instead of raising UnicodeEncodeError."""
    codecs.register_error("ascii-spelling", _spell)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file that is opened would take its place
            setattr(sys, name, Path(os.devnull).open("r+", encoding="utf-8"))  # noqa: SIM115 - stays open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="ascii-spelling")


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    words = (ASCII_SPELLING.get(c) or c.encode("ascii", "backslashreplace").decode() for c in characters)
    return "".join(words), error.end


def ensure_utf8_mode() -> None:
    """Restart this command in Python's UTF-8 mode where the locale has another encoding.

    Otherwise the names of images and classes would differ from those on other machines, or could not be read.
    """
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8":
        return
    if not os.environ.get("PYTHONIOENCODING"):  # the encoding of the terminal does not change
        os.environ["PYTHONIOENCODING"] = f"{getattr(sys.stdout, 'encoding', 'ascii')}:backslashreplace"
    os.environ["PYTHONUTF8"] = "1"  # for the workers
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def set_missing_user() -> None:
    """Set the name and home that libraries need, if the system does not know the user, as in a container."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", f"user-{os.getuid()}")
        os.environ.setdefault("HOME", "/")  # as container runtimes do
