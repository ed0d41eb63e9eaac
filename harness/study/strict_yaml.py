"""Strict YAML: no aliases, tags, duplicate keys or surprising scalars; with the line number of each field."""

import re
from collections.abc import Hashable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from harness.errors import StudyError

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

FieldPath = tuple[str | int, ...]
LineNumbers = dict[FieldPath, int]


class _Loader(yaml.SafeLoader):
    """PyYAML's loader with the scalars of YAML 1.2: `no` and `012` are strings, `1e-3` is a number."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed; write the value out", problem_mark=event.start_mark
            )
        if getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(
                problem=f"the tag {event.tag} is not allowed; a study file is plain data", problem_mark=event.start_mark
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", "n~"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])


def read_yaml(path: Path, what: str = "study file") -> tuple[Any, LineNumbers]:
    """Read a YAML file; return its data and the line number of each field. what: the file is, in an error.

    Raises StudyError, naming file and line, for anything that is not plain data.
    """
    return parse_yaml(file_text(path, what), str(path))


def file_text(path: Path, what: str = "study file", names: Sequence[str] = (), mend: str = "") -> str:
    """Read a study file. Raises StudyError where it cannot be read, is too long or is not UTF-8.

    what: the file is, in an error. names: what else could be given in its place. mend: what to do if nothing is near.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise StudyError(f"{path}: no such {what}; {_meant(path, names) or mend or 'name one that is there'}") from None
    except IsADirectoryError:
        meant = _meant(path / "study.yaml", ())
        raise StudyError(f"{path}: this is a folder; name the {what}{f': {meant}' if meant else ''}") from None
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise StudyError(f"{path}: {len(raw):,} bytes; a study file has at most {MAX_BYTES:,}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise StudyError(f"{path}:{line}: not UTF-8 text (byte 0x{raw[error.start]:02x})") from None


def _meant(path: Path, names: Sequence[str]) -> str:
    """The question after the files beside a path, or the names, that could be meant; empty where none is near."""
    try:
        beside = {file.stem: str(file) for file in sorted(path.parent.glob("*.yaml"))}
    except OSError:
        beside = {}
    near = get_close_matches(path.stem, names, n=1) or [beside[stem] for stem in get_close_matches(path.stem, beside)]
    return f"did you mean {' or '.join(near)}?" if near else ""


def yaml_line(name: str, value: Any) -> str:
    """A field with its value in one line of YAML."""
    flow = None if isinstance(value, (dict, list)) else False  # None: what holds only text and numbers, on one line
    text = yaml.safe_dump({name: value}, default_flow_style=flow, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("\n")


def dump_yaml(content: dict[str, Any]) -> str:
    """The data as YAML, keys in their order."""
    return yaml.safe_dump(content, sort_keys=False)


def parse_yaml(text: str, name: str) -> tuple[Any, LineNumbers]:
    """Parse YAML; return its data and the line number of each field. name: of the source, for errors."""
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:  # a character that YAML does not allow, such as NUL
        reason = str(getattr(error, "reason", error)).splitlines()[0]
        position = getattr(error, "position", 0)
        raise StudyError(f"{name}:{text.count(chr(10), 0, position) + 1}: {reason}") from None
    try:
        node = loader.get_single_node()
    except (ValueError, OverflowError):  # an escape beyond Unicode, such as "\\UFFFFFFFF"
        line = loader.get_mark().line + 1
        raise StudyError(f"{name}:{line}: an escape in a string names no character") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StudyError(f"{name}:{mark.line + 1 if mark else 1}: {error.problem or error.context}") from None
    lines: LineNumbers = {}
    return (None if node is None else _value(loader, node, (), name, lines)), lines


def _value(loader: _Loader, node: yaml.Node, field: FieldPath, name: str, lines: LineNumbers) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(field, line)
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, child, (*field, i), name, lines) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        result: dict[Hashable, Any] = {}
        for key_node, child in node.value:
            key = key_node.value
            at = f"{name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.tag.endswith(":str"):
                raise StudyError(f"{at}: {dotted(field)}: a key is a plain word")
            if key in result:
                raise StudyError(f"{at}: {dotted((*field, key))}: this key is given twice")
            lines[(*field, key)] = key_node.start_mark.line + 1
            result[key] = _value(loader, child, (*field, key), name, lines)
        return result
    try:
        return loader.construct_object(node)
    except (ValueError, OverflowError):  # an integer of thousands of digits
        raise StudyError(f"{name}:{line}: {dotted(field)}: not a number that can be read") from None


def dotted(field: FieldPath) -> str:
    """`stages[0].grid.head` for `("stages", 0, "grid", "head")`; "the file" for the root."""
    shown = [part if isinstance(part, int) or part.isprintable() else repr(part) for part in field]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in shown)
    return text.removeprefix(".") or "the file"
