"""A terminal, a pipe or a user of any kind: what they cannot do never ends a command in a traceback."""

import codecs
import io
import os
import pwd
import sys
from pathlib import Path

SPELLED = {"±": "+/-", "…": "...", "—": "-"}  # what has a plain spelling; the rest becomes \\xNN


def speak_plainly() -> None:
    """From now on the standard streams spell out what their encoding lacks, where Python would raise an error."""
    codecs.register_error("spelled", _spell)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file that is opened would take its place
            setattr(sys, name, Path(os.devnull).open("r+", encoding="utf-8"))  # noqa: SIM115 - to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled")


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    words = (SPELLED.get(c) or c.encode("ascii", "backslashreplace").decode() for c in characters)
    return "".join(words), error.end


def read_names_as_utf8() -> None:
    """Starts this command anew in Python's UTF-8 mode where the locale has another encoding.

    Else the names of the images and their classes would be others here than on the next machine, or none at all.
    """
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8":
        return
    if not os.environ.get("PYTHONIOENCODING"):  # the terminal stays what it is
        os.environ["PYTHONIOENCODING"] = f"{getattr(sys.stdout, 'encoding', 'ascii')}:backslashreplace"
    os.environ["PYTHONUTF8"] = "1"  # for the workers
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def name_the_user() -> None:
    """Gives a user whom the system does not know, as in a container, the name and the home that libraries ask for."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", f"user-{os.getuid()}")
        os.environ.setdefault("HOME", "/")  # as container runtimes do
