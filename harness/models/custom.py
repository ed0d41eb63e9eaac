"""The user's own parts, `module:Class` in the study file: classes of a Python file next to it or on PYTHONPATH."""

import ast
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import HarnessError, StudyError, described


def is_custom(head: str) -> bool:
    """Whether this is the name of a custom head."""
    return ":" in head


def file_name(head: str) -> str:
    """The name of the file of a head: `heads/pooling.py` for `heads.pooling:MaxPool`."""
    return head.partition(":")[0].replace(".", "/") + ".py"


def head_source(head: str, folder: Path, kind: str = "head") -> str:
    """Read the source of the file of a custom head, without running it. folder: of the study file.

    kind: what it is, where it is no head.

    Raises StudyError.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", head):
        raise StudyError(f"{head!r} is given; a custom {kind} is module:Class")
    found = next((file for place in _places(folder) if (file := place / file_name(head)).is_file()), None)
    if found is None:
        here = " (the current folder has one: move it)" if Path(file_name(head)).is_file() else ""
        raise StudyError(f"no {file_name(head)} in {folder} or on PYTHONPATH{here}; a custom {kind} is module:Class")
    try:
        source = found.read_text(encoding="utf-8")
        parts = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise StudyError(f"{found} is not valid Python: {error}") from None
    kinds = (ast.ClassDef, ast.FunctionDef) if kind == "metric" else (ast.ClassDef,)
    names = [part.name for part in parts if isinstance(part, kinds)]
    if head.partition(":")[2] not in names:
        what = "class or function" if kind == "metric" else "class"
        raise StudyError(f"{found} has no {what} {head.partition(':')[2]}; it has: {', '.join(names) or 'none'}")
    return source


def _places(folder: Path) -> Iterator[Path]:
    """The folders to search for custom heads. The current one, which Python may add, only if PYTHONPATH names it."""
    named = {Path(place).absolute() for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place}
    yield folder
    yield from (place for place in map(Path, sys.path) if place.absolute() != Path.cwd() or Path.cwd() in named)


def source_digest(source: str) -> str:
    """The hash of a head's source; it is part of the ids, like the settings."""
    return f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"


def head_class(head: str, source: str) -> Callable[..., Any]:
    """Import the file of a custom head from its source and return the class. Raises HarnessError where that fails."""
    name = f"harness_head_{source_digest(source)[7:23]}"
    if name not in sys.modules:
        module = ModuleType(name)
        sys.modules[name] = module  # before it runs: dataclasses look up their module there
        try:
            exec(compile(source, file_name(head), "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[name]
            raise HarnessError(f"{file_name(head)} cannot be imported: {described(error)}") from None
    found: Callable[..., Any] = getattr(sys.modules[name], head.partition(":")[2])
    return found
