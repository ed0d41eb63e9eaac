"""Error messages about a study file: `file:line: field: what is wrong, what is allowed`."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import StudyError
from harness.study.strict_yaml import FieldPath, LineNumbers, dotted

WORDS = {  # of pydantic's errors, for those whose own words are of Python
    "list_type": "a list is needed, such as [a, b]",
    "dict_type": "a mapping is needed, such as {key: value}",
    "model_type": "a mapping is needed, such as {key: value}",
    "model_attributes_type": "a mapping is needed, such as {key: value}",
    "bool_type": "true or false is needed",
    "string_too_short": "this may not be empty",
}
YAML_WORDS = {None: "null", True: "true", False: "false"}


def unknown(kind: str, given: str, allowed: Sequence[str] | Any) -> str:
    """The message about an unknown name, with close matches or what is allowed."""
    names = [str(name) for name in allowed]
    close = get_close_matches(given, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"allowed: {', '.join(names[:20])}"
    return f"unknown {kind} {given!r}; {hint}"


def from_pydantic(
    error: ValidationError, name: str, lines: LineNumbers, given: dict[FieldPath, str], root: type[BaseModel]
) -> StudyError:
    """The StudyError for the first problem that pydantic finds in the file `name`, which holds a `root`."""
    # A misspelt key is both unknown and missing: the unknown one has the better hint.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    field: FieldPath = first["loc"]
    if first["type"] == "extra_forbidden":
        siblings = _model_at(field[:-1], root).model_fields
        return located(name, lines, given, field, unknown("key", str(field[-1]), siblings))
    return located(name, lines, given, field, reason(first))


def _model_at(field: FieldPath, model: type[BaseModel]) -> type[BaseModel]:
    """The model of the mapping at `field` below `model`."""
    for part in field:
        if part in model.model_fields:  # otherwise it is an index, or the key of a mapping such as a space
            annotation = model.model_fields[str(part)].annotation
            options = [annotation, *get_args(annotation), *(a for o in get_args(annotation) for a in get_args(o))]
            model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return model


def reason(error: Any) -> str:
    """The line for one error of pydantic: what was given and what is allowed."""
    given = error["input"]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return "this key is missing"
    if error["type"] == "literal_error":
        return f"{given!r} is given; allowed: {error['ctx']['expected'].replace(' or ', ', ')}".replace("'", "")
    shown = YAML_WORDS[given] if given is None or isinstance(given, bool) else repr(given)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    if error["type"] == "too_short":
        return f"{shown} is given; the least number of entries is {error['ctx']['min_length']}"
    if error["type"] in WORDS:
        return f"{shown} is given; {WORDS[error['type']]}"
    return f"{shown} is given; {message[:1].lower() + message[1:]}"


def located(name: str, lines: LineNumbers, given: dict[FieldPath, str], field: FieldPath, message: str) -> StudyError:
    """The StudyError that names the nearest line or option that `field` came from."""
    for depth in range(len(field), 0, -1):
        options = [option for at, option in given.items() if at[:depth] == field[:depth]]
        if options and (field[:depth] in given or field[:depth] not in lines):
            return StudyError(f"{options[-1]}: {dotted(field)}: {message}")
        if field[:depth] in lines:
            return StudyError(f"{name}:{lines[field[:depth]]}: {dotted(field)}: {message}")
    return StudyError(f"{name}:{lines.get((), 1)}: {dotted(field)}: {message}")
