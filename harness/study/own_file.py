"""The file of a part of the user's own, `module:Class` in the study file: next to it or on PYTHONPATH."""

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.errors import StudyError
from harness.study.allowed import is_of_library


def is_custom(name: str) -> bool:
    """Whether this is the name of a part of the user's own."""
    return ":" in name and not is_of_library(name)


def file_name(name: str) -> str:
    """The name of the file of a part: `heads/pooling.py` for `heads.pooling:MaxPool`."""
    return name.partition(":")[0].replace(".", "/") + ".py"


def head_source(head: str, folder: Path, kind: str = "head") -> str:
    """Read the source of the file of a custom head, without running it. folder: of the study file.

    kind: what it is, where it is no head.

    Raises StudyError.
    """
    return read_source(own_file(head, folder, kind), head.partition(":")[2], kind)


def own_file(name: str, folder: Path, kind: str) -> Path:
    """The file of a part. folder: of the study file. kind: what it is, for errors.

    Raises StudyError where there is none.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name):
        raise StudyError(f"{name!r} is given; a custom {kind} is {_form(kind)}")
    found = next((file for place in _places(folder) if (file := place / file_name(name)).is_file()), None)
    if found is None:
        here = " (the current folder has one: move it)" if Path(file_name(name)).is_file() else ""
        raise StudyError(f"no {file_name(name)} in {folder} or on PYTHONPATH{here}; a custom {kind} is {_form(kind)}")
    return found


def _form(kind: str) -> str:
    """How a study file names a part: a metric may be a function, too."""
    return "module:name" if kind == "metric" else "module:Class"


def read_source(file: Path, named: str, kind: str) -> str:
    """Read the source of a file, without running it. Raises StudyError where it does not define what is named."""
    try:
        source = file.read_text(encoding="utf-8")
        parts = ast.parse(source).body
    except OSError as error:
        raise StudyError(f"{file} cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise StudyError(f"{file} is not valid Python: {error}") from None
    kinds = (ast.ClassDef, ast.FunctionDef) if kind == "metric" else (ast.ClassDef,)
    names = [part.name for part in parts if isinstance(part, kinds)]
    if named not in names:
        what = "class or function" if kind == "metric" else "class"
        raise StudyError(f"{file} has no {what} {named}; it has: {', '.join(names) or 'none'}")
    return source


def _places(folder: Path) -> Iterator[Path]:
    """The folders to search for files. The current one, which Python may add, only if PYTHONPATH names it."""
    named = {Path(place).absolute() for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place}
    yield folder
    yield from (place for place in map(Path, sys.path) if place.absolute() != Path.cwd() or Path.cwd() in named)
