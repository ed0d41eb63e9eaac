"""Values that the command line gives in place of those of a study file: `--set KEY=VALUE`."""

import re
from typing import Any

from harness.errors import StudyError
from harness.study.strict_yaml import FieldPath, dotted, parse_yaml


def apply_override(data: dict[str, Any], text: str, given: dict[FieldPath, str]) -> None:
    """Set one `a.b=value` in `data`; a part that is a number is an index into a list."""
    key, separator, value_text = text.partition("=")
    option = f"--set {text}"
    if not separator or not key:
        raise StudyError(f"{option}: expected KEY=VALUE, such as base.epochs=1")
    parts = key.split(".")
    field: FieldPath = tuple(int(part) if re.fullmatch(r"[0-9]{1,6}", part) else part for part in parts)
    value, _ = parse_yaml(value_text, option)
    target: Any = data
    for depth, part in enumerate(field):
        last = depth == len(field) - 1
        if isinstance(target, list) and isinstance(part, int) and part < len(target):
            child = target[part]
        elif isinstance(target, dict) and isinstance(part, str):
            child = target.get(part) if last else target.setdefault(part, {})
        else:
            raise StudyError(f"{option}: {dotted(field[: depth + 1])}: no such field in the study file")
        if last:
            target[part] = value
        target = child
    given[field] = option


def value_at(data: Any, field: FieldPath) -> Any:
    """The value of a field in the data of a study file; None where it has none."""
    for part in field:
        if isinstance(data, dict):
            data = data.get(part)
        else:
            data = data[part] if isinstance(data, list) and isinstance(part, int) and part < len(data) else None
    return data
