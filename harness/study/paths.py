"""Relative paths of a study: those in the file start at its folder, those on the command line at the current folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import StudyError
from harness.study.messages import located
from harness.study.origin import has_scheme, is_folder, own_name
from harness.study.own_file import is_custom, own_file
from harness.study.strict_yaml import FieldPath, LineNumbers

ANY = "*"
WEIGHTS: tuple[FieldPath, ...] = (
    ("base", "weights"),
    ("stages", ANY, "grid", "weights", ANY),
    ("stages", ANY, "grid", "weights", ANY, "name"),
    ("stages", ANY, "grid", ANY, ANY, "weights"),
    ("stages", ANY, "zip", "weights", ANY),
    ("stages", ANY, "zip", "weights", ANY, "name"),
    ("stages", ANY, "zip", ANY, ANY, "weights"),
    ("stages", ANY, "when", ANY, "weights", ANY),
    ("stages", ANY, "exclude", ANY, "weights"),
    ("stages", ANY, "exclude", ANY, "weights", ANY),
    ("search", "space", "weights", "choices", ANY),
    ("search", "space", ANY, "when", "weights", ANY),
    ("search", "enqueue", ANY, "weights"),
)
PATHS: tuple[FieldPath, ...] = (  # the fields that hold paths, those of backbones behind a scheme
    ("data", "path"),
    ("data", "root"),
    ("data", "corrections"),
    ("data", "test", "sets", ANY, "path"),
    ("data", "test", "sets", ANY, "root"),
    ("paper",),
    *WEIGHTS,
    *(tuple("backbone" if part == "weights" else part for part in field) for field in WEIGHTS),
)


def make_absolute(data: dict[str, Any], file: Path, lines: LineNumbers, given: dict[FieldPath, str]) -> dict[str, str]:
    """Make every path in the `data` of a study file absolute; return a mapping from each to how it was written.

    A backbone of the user's own, `module:Class`, becomes the path of its file.
    given: the fields that come from the command line, with their options.
    Raises StudyError for a path that exists only relative to the current folder: earlier versions started there. Also
    for a backbone of the user's own whose file is not there.
    """
    written: dict[str, str] = {}
    for field, holder in [found for pattern in PATHS for found in _found(data, pattern)]:
        value = holder[field[-1]]
        try:
            if _setting(field) == "backbone" and is_custom(value) and not has_scheme(value):
                found = own_name(own_file(value, file.parent, "backbone").absolute(), value.partition(":")[2])
            elif _is_path(field, value):
                on_command_line = any(field[: len(option)] == option for option in given)
                found = _absolute(field, value, file.parent, Path() if on_command_line else file.parent)
            else:
                continue
        except StudyError as error:
            raise located(str(file), lines, given, field, str(error)) from None
        holder[field[-1]] = found
        written[found] = value
    ambiguous = [value for value in written.values() if list(written.values()).count(value) > 1]
    return {path: value for path, value in written.items() if value not in ambiguous}


def _absolute(field: FieldPath, value: str, home: Path, folder: Path) -> str:
    """The value of a field with its path made absolute: from `folder` on. home: the folder of the study file."""
    scheme, named = value[: -len(_named(field, value))], _named(field, value)
    path = Path(folder, os.path.expanduser(named)).absolute()  # noqa: PTH111 - pathlib raises for an unknown user
    here = Path(named).absolute()
    if path != here and not _exists(path) and _exists(here):
        raise StudyError(
            f"there is no {path}; a path in a study file starts at the file's folder, and this one is there from the"
            f" current folder: write {os.path.relpath(here, home)}, or give it on the command line"
        )
    return f"{scheme}{path}"


def _is_path(field: FieldPath, value: str) -> bool:
    setting = _setting(field)
    if setting == "backbone":
        return is_folder(value)
    return value.endswith(".safetensors") if setting == "weights" else value != ""


def _setting(field: FieldPath) -> str | None:
    """The setting that a field gives: the last one named, as a level of one can bring another."""
    return next((str(part) for part in reversed(field) if part in ("backbone", "weights")), None)


def _named(field: FieldPath, value: str) -> str:
    """The path in a value: of a backbone what is behind its scheme."""
    return value.partition(":")[2] if _setting(field) == "backbone" else value


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - pathlib raises for a name that is too long


def _found(value: Any, pattern: FieldPath, at: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """The fields of strings in `value` that match the pattern, each with the mapping or list that contains it."""
    first, rest = pattern[0], pattern[1:]
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value) if first == ANY else [first] * (first in value)
    elif isinstance(value, list) and first == ANY:
        keys = list(range(len(value)))
    for key in keys:
        if rest:
            yield from _found(value[key], rest, (*at, key))
        elif isinstance(value[key], str):
            yield (*at, key), value
