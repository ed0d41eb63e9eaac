"""Load a study file: its YAML, the overrides of the command line, and all checks that concern several fields."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import StudyError, printable
from harness.study.conflicts import CHECKS
from harness.study.data_block import Data
from harness.study.grid import projected, values_at
from harness.study.grid_rules import check_grids, setting_problem
from harness.study.messages import from_pydantic, unknown
from harness.study.nested import nested_problem
from harness.study.overrides import apply_override, value_at
from harness.study.paths import make_absolute
from harness.study.recipes import write_out
from harness.study.search_problems import search_problems
from harness.study.set_block import set_problems
from harness.study.settings import Settings
from harness.study.shipped import shipped_studies, study_path
from harness.study.strict_yaml import FieldPath, LineNumbers, dotted, file_text, parse_yaml
from harness.study.study import Study
from harness.study.types import BUILT_IN, OWN_METRICS, ConflictCheck, is_worst_group, own_names

LEAK = "random-before-split"
NO_PARAMETERS = {  # settings that no search varies, and why
    "train_share": "a learning curve is no search: more images are always better;",
    "recipe": "a recipe is many settings at once; name those that are to be searched, or",
}


def load_study(path: Path, overrides: Sequence[str] = (), data_path: str | None = None) -> Study:
    """Load the study in the file `path`, apply the `KEY=VALUE` overrides and make all paths absolute.

    path: also the bare name of a study that comes with the harness, such as `quickstart`.
    Raises StudyError (`file:line: field: what is wrong, what is allowed`).
    """
    path = study_path(path)
    text = file_text(path, names=list(shipped_studies()), mend="`harness new NAME --data DIR` writes one")
    data, lines = parse_yaml(text, str(path))
    if not isinstance(data, dict):
        raise StudyError(f"{path}:1: a study is a mapping that starts with `study: NAME`")
    if "suite" in data:
        raise StudyError(f"{path}:1: this is a suite, a study of several data sets; run it by: harness suite {path}")
    return study_of(StudyText(path, text, data, lines), overrides, data_path)


@dataclass(frozen=True)
class StudyText:
    """A study as it is written: its text, what YAML reads of it, and the line of each field in the file."""

    path: Path
    text: str
    data: dict[str, Any]
    lines: LineNumbers


def study_of(written: StudyText, overrides: Sequence[str] = (), data_path: str | None = None) -> Study:
    """The study of this text. Raises StudyError as `load_study` does."""
    path, text, data, lines = written.path, written.text, written.data, dict(written.lines)
    given: dict[FieldPath, str] = {}
    of_file = deepcopy(data)
    for option in overrides:
        apply_override(data, option, given)
    changed = {dotted(field): (value_at(of_file, field), value_at(data, field)) for field in given}
    for field in [field for field in lines if any(field[: len(option)] == option for option in given)]:
        del lines[field]  # errors about a replaced value name the option, not the line
    if data_path is not None:
        data["data"] = {**data["data"], "path": data_path} if isinstance(data.get("data"), dict) else {}
        given[("data", "path")] = f"--data {printable(data_path)}"
    write_out(data)
    given_paths = make_absolute(data, path, lines, given)
    try:
        study = Study.model_validate(data, context={OWN_METRICS: own_names(data.get("metrics"))})
    except ValidationError as error:
        raise from_pydantic(error, str(path), lines, given, Study) from None
    study._name, study._lines, study._overrides, study._written = str(path), lines, given, given_paths
    study._text = text
    study._changed = {field: values for field, values in changed.items() if values[0] != values[1]}
    _check_data(study)
    for field, message in set_problems(study.data.test, study.data.metadata) if study.data.test else ():
        raise study.error(("data", "test", *field), message)
    _check_stages(study)
    check_grids(study)
    _check_leaks(study)
    _check_search(study)
    _check_conflicts(study)
    _check_unit(study)
    _check_operating(study)
    _check_metrics(study)
    return study


def _check_data(study: Study) -> None:
    """Raise StudyError for fields of a table in a study of a folder, and for folds by a column that is not there."""
    spec, folds, plain = study.data, study.folds, Data(source="table")
    for name in ("root", "columns", "table_metadata", "splits"):
        if spec.source != "table" and getattr(spec, name) != getattr(plain, name):
            field = name.removeprefix("table_")
            raise study.error(("data", field), f"this is for `source: table`; the source is {spec.source}")
    if spec.patient is not None and spec.columns.patient is not None:
        raise study.error(("data", "patient"), "columns.patient says who the patient is; keep one of them")
    if folds.is_drawn:
        return
    if folds.by == "column" and spec.columns.fold is None:
        raise study.error(("folds", "by"), "the column is not named; add data: {columns: {fold: NAME}}")
    if folds.by != "column" and folds.by not in spec.metadata:
        words = unknown("column", folds.by, ["random", "column", *spec.metadata])
        raise study.error(("folds", "by"), f"{words}; other columns are named in data.metadata")
    if folds.repeats > 1:
        raise study.error(("folds", "repeats"), f"folds by {folds.by} are there once; leave it out, or by: random")


def _check_unit(study: Study) -> None:
    """Raise StudyError where patients cannot be the unit: nobody knows them, or folds or a search go by images."""
    for field, default in (("unit", "image"), ("combine", "mean")):
        if getattr(study, field) != default and study.data.patient_source is None:
            message = "patients are unknown; say who they are by data.patient, or of a table by data.columns.patient"
            raise study.error((field,), f"{message}, or write {field}: {default}")
    if study.unit == "image":
        return
    if not study.folds.grouped:
        raise study.error(("unit",), "folds that are not grouped tear patients apart; write folds: {grouped: true}")
    if study.search is not None:
        message = "a search compares trials by the images of every epoch; give it a study file of its own"
        raise study.error(("unit",), f"{message}, or write unit: image")


def _check_operating(study: Study) -> None:
    """Raise StudyError where an operating point, or prevalences, are declared and no test set is scored."""
    for field in ("operating", "prevalences"):
        if getattr(study, field) and study.test is None:
            message = "it says how a test set is read, and none is scored; add test: {stages: [STAGE]}, or leave it out"
            raise study.error((field,), message)


def _check_metrics(study: Study) -> None:
    """Raise StudyError for an own metric without a name, or with that of another metric."""
    seen: list[str] = []
    for index, name in enumerate(study.metrics):
        called = name.partition(":")[2]
        if not called:
            raise study.error(("metrics", index), f"{name!r} is given; a metric of your own is module:name")
        if f"val/{called}" in BUILT_IN or called in seen:
            whose = "of your own" if called in seen else "of the harness"
            raise study.error(("metrics", index), f"there is another metric {called}, {whose}; rename this one")
        seen.append(called)


def _check_stages(study: Study) -> None:
    names = [stage.name for stage in study.stages]
    for i, stage in enumerate(study.stages):
        at: FieldPath = ("stages", i)
        if names.index(stage.name) != i:
            raise study.error((*at, "name"), f"another stage is called {stage.name} already")
        if stage.select and is_worst_group(stage.select.metric) and not study.subgroups:
            message = "the worst group of which groups? add `subgroups: [COLUMN, ...]` at the top of the study file"
            raise study.error((*at, "select", "metric"), message)
        if problem := nested_problem(study, stage):
            raise study.error((*at, "select", "nested"), problem)
    for j, name in enumerate(study.test.stages if study.test else ()):
        if name not in names:
            raise study.error(("test", "stages", j), unknown("stage", name, names))
        if study.test and study.test.scenarios == "winner" and study.stage(name).select is None:
            raise study.error(
                ("test", "stages", j), f"stage {name} selects no winner; give it `select: {{metric: val/accuracy}}`"
            )


def _check_leaks(study: Study) -> None:
    """Raise StudyError where a stage or search could only select scenarios that leak: they are never selected."""
    leaking = study.base.leaks  # of the settings that the next stage inherits; a winner never leaks
    for i, stage in enumerate(study.stages):
        points = map(values_at, projected(stage.points(), ("oversampling",)))
        leaks = all(point.get("oversampling", LEAK if leaking else "none") == LEAK for point in points)
        if stage.select and leaks:
            message = "every scenario oversamples before the split, and one that leaks is never selected; add random"
            raise study.error(("stages", i, "select"), message)
        leaking &= stage.select is None
    for field, settings in study.settings():
        if study.search and settings.leaks and field[0] in ("base", "search"):
            raise study.error(field, "random-before-split leaks and is never searched; allowed: none, random")


def _check_search(study: Study) -> None:
    if study.search is None:
        return
    for name, message in NO_PARAMETERS.items():
        if name in study.search.space:
            raise study.error(("search", "space", name), f"{message} make it a factor of a stage's grid")
    problem = partial(setting_problem, study)
    for field, message in search_problems(study.search, study.base.model_dump(), problem):
        raise study.error(("search", *field), message or unknown("setting", str(field[-1]), Settings.model_fields))


def _check_conflicts(study: Study) -> None:
    """Raise StudyError for conflicting settings that would meet in a scenario.

    Each check sees the combinations of its own fields: those of all fields together are too many in a large grid.
    """
    factors = {name for _, key, _, level in study.levels() for name in (key, *level.brings)}
    factors |= {*study.search.space} if study.search else set()
    for check in CHECKS:
        if factors.isdisjoint(check[1]):
            _refuse_conflicts(study, check, [dict(study.base)], [])
            continue
        for i, settings in enumerate(study.reached(check[1])):
            levels = [(key, at, level) for n, key, at, level in study.levels() if n == i]
            varied = [(key, level.value, at[:-1]) for key, at, level in levels]
            varied += [(key, value, (*at, key)) for _, at, level in levels for key, value in level.brings.items()]
            _refuse_conflicts(study, check, map(dict, settings), varied)
        for point in study.search.reachable(check[1]) if study.search else ():
            space: list[Varied] = [(key, value, ("search", "space", key)) for key, value in point.items()]
            _refuse_conflicts(study, check, [dict(study.base) | point], space)


Varied = tuple[str, Any, FieldPath]  # a setting, a value that it is given, and where


def _refuse_conflicts(
    study: Study, check: ConflictCheck, points: Iterable[dict[str, Any]], varied: list[Varied]
) -> None:
    """Raise StudyError for the first conflict. varied: what varies the settings; empty for the base."""
    find, read = check
    for point in points:
        if problem := find({name: point[name] for name in read}):
            fields, message = problem
            found = [at for name, value, at in varied if name in fields and value == point[name]]
            raise study.error(found[-1] if found else ("base", fields[0]), message)
