"""The suite file: one grid over many data sets. It stands for a study of each, which differ in what they read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import StudyError
from harness.study.load import StudyText, study_of
from harness.study.messages import located, unknown
from harness.study.shipped import shipped_studies, study_path
from harness.study.strict_yaml import FieldPath, LineNumbers, dump_yaml, file_text, parse_yaml
from harness.study.study import Study
from harness.study.types import checked_name

OF_SUITE = ("suite", "description", "datasets")
OF_DATA_SET = ("data", "get")  # besides fields of a study
NOT_SHARED = ("study", "data", "description", "search", "paper")  # fields of a study that a suite does not have
SHARED = tuple(name for name in Study.model_fields if name not in NOT_SHARED)


@dataclass(frozen=True)
class SuiteDataSet:
    """One data set of a suite: the study that it stands for, and how its images are obtained, in the file's words."""

    name: str
    study: Study
    get: str = ""


@dataclass(frozen=True)
class Suite:
    """A suite file."""

    name: str
    description: str
    path: Path
    text: str
    lines: LineNumbers
    data_sets: tuple[SuiteDataSet, ...]

    def only(self, names: Collection[str]) -> "Suite":
        """The suite of these data sets. Raises StudyError for a name that it does not have."""
        known = [each.name for each in self.data_sets]
        for name in names:
            if name not in known:
                raise StudyError(f"--only {name}: {unknown('data set', name, known)}")
        return replace(self, data_sets=tuple(each for each in self.data_sets if each.name in names))

    def error(self, field: FieldPath, message: str) -> StudyError:
        """The StudyError that names the line of a field."""
        return located(str(self.path), self.lines, {}, field, message)


def load_suite(given: Path, overrides: Sequence[str] = (), paths: Mapping[str, str] | None = None) -> Suite:
    """Load a suite file, each of its studies with the `KEY=VALUE` overrides.

    given: also the bare name of a suite that comes with the harness. paths: data set -> where its images are.
    Raises StudyError (`file:line: field: what is wrong, what is allowed`).
    """
    path = study_path(given)
    text = file_text(path, "suite file", list(shipped_studies()))
    data, lines = parse_yaml(text, str(path))
    if not isinstance(data, dict) or "suite" not in data:
        raise StudyError(
            f"{path}:1: a suite is a mapping that starts with `suite: NAME`; a study is run by: harness run"
        )
    suite = Suite(str(data["suite"]), str(data.get("description") or ""), path, text, lines, ())
    _check(suite, data)
    for name in paths or {}:
        if name not in data["datasets"]:
            raise StudyError(f"--data {name}=...: {unknown('data set', name, data['datasets'])}")
    found = [_data_set(suite, data, name, overrides, (paths or {}).get(name)) for name in data["datasets"]]
    return replace(suite, data_sets=tuple(found))


def _check(suite: Suite, data: dict[str, Any]) -> None:
    """Raise StudyError for a key that a suite does not have, a name that is none, and data sets that are none."""
    for key in data:
        if key not in (*OF_SUITE, *SHARED):
            raise suite.error((key,), unknown("key of a suite", key, [*OF_SUITE, *SHARED]))
    _check_name(suite, ("suite",), suite.name)
    found = data.get("datasets")
    if not isinstance(found, dict) or not found:
        raise suite.error(("datasets",), "a suite has data sets: `datasets: {NAME: {data: {source: ...}}}`")
    for name, entry in found.items():
        at: FieldPath = ("datasets", name)
        _check_name(suite, at, f"{suite.name}.{name}")
        if not isinstance(entry, dict) or "data" not in entry:
            raise suite.error(at, "a data set is a mapping with a block `data:`, as a study has it")
        for key in entry:
            if key not in (*OF_DATA_SET, *SHARED):
                raise suite.error((*at, key), unknown("key of a data set", key, [*OF_DATA_SET, *SHARED]))


def _check_name(suite: Suite, at: FieldPath, name: str) -> None:
    try:
        checked_name(name)
    except ValueError as error:
        raise suite.error(at, f"{name!r} is given; {error}") from None


def _data_set(
    suite: Suite, data: dict[str, Any], name: str, overrides: Sequence[str], data_path: str | None
) -> SuiteDataSet:
    """The data set with its study: what the suite shares, and over it what stands at the data set."""
    own = {key: value for key, value in data["datasets"][name].items() if key != "get"}
    shared = {key: value for key, value in data.items() if key in SHARED}
    merged = {key: shared.get(key, {}) | value if _are_blocks(shared.get(key), value) else value
              for key, value in own.items()}  # fmt: skip
    content = {"study": f"{suite.name}.{name}", "description": suite.description, **shared, **merged}
    lines = {field: line for field, line in suite.lines.items() if field[:1] != ("datasets",)}
    at = ("datasets", name)
    lines |= {field[2:]: line for field, line in suite.lines.items() if field[:2] == at and len(field) > 2}
    text = dump_yaml(content)
    parsed, _ = parse_yaml(text, str(suite.path))
    study = study_of(StudyText(suite.path, text, parsed, lines), overrides, data_path)
    return SuiteDataSet(name, study, str(data["datasets"][name].get("get") or ""))


def _are_blocks(shared: Any, own: Any) -> bool:
    return isinstance(shared, dict) and isinstance(own, dict)
