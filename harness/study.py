"""The study file: what is trained, on what, and how it is compared. See README for a tour."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from harness.errors import DataError, HarnessError, StudyError, printable
from harness.fields import Count, Metric, Model, Name, higher_is_better
from harness.paths import make_absolute
from harness.refusals import from_pydantic, located, reason, unknown
from harness.search_block import Search, search_problems
from harness.settings import CONFLICTING, Settings, conflict
from harness.strict_yaml import Field as FieldPath
from harness.strict_yaml import Lines, dotted, parse_yaml, read_yaml

MAX_SCENARIOS = 100_000


class Phantom(Model):
    """The size of the built-in synthetic dataset."""

    train: Annotated[int, Field(ge=8, le=1_000_000)] = 480
    test: Annotated[int, Field(ge=0, le=1_000_000)] = 120
    seed: Annotated[int, Field(ge=0)] = 0


class Data(Model):
    """Where the images are, and how they are read."""

    source: Literal["folder", "kermany", "phantom"]
    path: str | None = None
    image_size: Annotated[int, Field(ge=8, le=2048)] = 224
    positive: str | None = None
    patient: str | None = None
    limit: Count | None = None
    on_bad_image: Literal["error", "skip"] = "error"  # skip: the manifest leaves out what cannot be read
    val: Literal["ignore", "train"] = "ignore"
    phantom: Phantom = Phantom()

    @property
    def patient_rule(self) -> str | None:
        """How a file's name tells the patient; None where it does not."""
        return self.patient or ("phantom" if self.source == "phantom" else None)


class Folds(Model):
    """The cross-validation protocol."""

    k: Annotated[int, Field(ge=2, le=1000)] = 3
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    grouped: bool = True
    seed: Annotated[int, Field(ge=0)] = 0


class Select(Model):
    """How a stage names its winner: the best mean of `metric` over the folds, or the cheapest not worse than that."""

    metric: Metric = "val/accuracy"
    rule: Literal["best", "cheapest-equivalent"] = "best"

    @property
    def maximize(self) -> bool:
        return higher_is_better(self.metric)


class Stage(Model):
    """One grid; the next stage starts from its winner."""

    name: Name
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default={})
    select: Select | None = None

    @property
    def size(self) -> int:
        return math.prod(len(levels) for levels in self.grid.values())


class FinalTest(Model):
    """Which stages' winners (or all their scenarios) are scored on the test set, and with which model."""

    stages: Annotated[list[str], Field(min_length=1)]
    scenarios: Literal["winner", "all"] = (
        "winner"  # all: baselines that are to stand side by side, each a declared look
    )
    model: Literal["refit", "folds"] = "refit"


Acceptable = Literal[
    "patient-across-splits", "duplicate-across-splits", "near-duplicate-across-splits", "label-conflict"
]  # the audit's error findings


class AuditRules(Model):
    """What the audit may let pass, each by its name, and further patient rules that it looks through."""

    accept: list[Acceptable] = Field(default_factory=list)
    patients: list[str] = Field(default_factory=list)


class Study(Model):
    study: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    data: Data
    folds: Folds = Folds()
    base: Settings
    stages: Annotated[list[Stage], Field(min_length=1)]
    search: Search | None = None
    test: FinalTest | None = None
    paper: str | None = None  # a file of `studies/published/`, beside which the report shows this study
    audit: AuditRules = AuditRules()
    checkpoint_every: Count | None = None  # epochs; None: each epoch that takes over a minute. Decides no number

    _name: str = PrivateAttr(default="study")
    _lines: Lines = PrivateAttr(default_factory=dict)
    _overrides: dict[FieldPath, str] = PrivateAttr(default_factory=dict)
    _written: dict[str, str] = PrivateAttr(default_factory=dict)  # absolute path -> as it was given

    def error(self, field: FieldPath, message: str) -> StudyError:
        """The StudyError that says where `field` was given: `file:line: field: message`."""
        return located(self._name, self._lines, self._overrides, field, message)

    @property
    def paper_file(self) -> Path | None:
        """The file of the paper that this study repeats, found beside the study file."""
        return self.folder / self.paper if self.paper else None

    @property
    def folder(self) -> Path:
        """The folder of the study file."""
        return Path(self._name).parent

    def as_written(self, level: Any) -> Any:
        """A level as the user wrote it: a path as it was before it was made absolute."""
        return self._written.get(level, level) if isinstance(level, str) else level

    @property
    def factors(self) -> list[str]:
        """The names of all factors that some stage varies, in order."""
        return list(dict.fromkeys(key for stage in self.stages for key in stage.grid))

    @contextmanager
    def blamed(self, *field: str | int) -> Iterator[None]:
        """Adds the place of `field` in the study file to an error about what it names."""
        try:
            yield
        except HarnessError as error:
            at = error.field if isinstance(error, DataError) and error.field else field
            raise type(error)(str(self.error(at, str(error)))) from None

    def stage(self, name: str) -> Stage:
        """The stage called `name`; raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]

    def settings(self) -> Iterator[tuple[FieldPath, Settings]]:
        """The base, every level of every grid and every choice of the search, each set alone over the base.

        Each comes with its place in the file.
        """
        yield ("base",), self.base
        for i, stage in enumerate(self.stages):
            for key, levels in stage.grid.items():
                for j, level in enumerate(levels):
                    yield ("stages", i, "grid", key, j), self.base.model_copy(update={key: level})
        for key, dimension in self.search.space.items() if self.search else ():
            for j, level in enumerate(dimension.choices or ()):
                yield ("search", "space", key, "choices", j), self.base.model_copy(update={key: level})


def load_study(path: Path, overrides: Sequence[str] = (), data_path: str | None = None) -> Study:
    """The study in the file `path`, with `KEY=VALUE` overrides applied, and all paths absolute.

    Raises StudyError (`file:line: field: what is wrong, what is allowed`).
    """
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise StudyError(f"{path}:1: a study is a mapping that starts with `study: NAME`")
    given: dict[FieldPath, str] = {}
    for text in overrides:
        _apply(data, text, given)
    for field in [field for field in lines if any(field[: len(option)] == option for option in given)]:
        del lines[field]  # what an option replaced is no longer at its line
    if data_path is not None:
        data["data"] = {**data["data"], "path": data_path} if isinstance(data.get("data"), dict) else {}
        given[("data", "path")] = f"--data {printable(data_path)}"
    written = make_absolute(data, path, lines, given)
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        raise from_pydantic(error, str(path), lines, given, Study) from None
    study._name, study._lines, study._overrides, study._written = str(path), lines, given, written
    _check_stages(study)
    _check_leaks(study)
    _check_search(study)
    _check_conflicts(study)
    return study


def _apply(data: dict[str, Any], text: str, given: dict[FieldPath, str]) -> None:
    """Sets one `a.b=value` in `data`; a part that is a number is an index into a list."""
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


def _check_stages(study: Study) -> None:
    names = [stage.name for stage in study.stages]
    for i, stage in enumerate(study.stages):
        at: FieldPath = ("stages", i)
        if names.index(stage.name) != i:
            raise study.error((*at, "name"), f"another stage is called {stage.name} already")
        if stage.size > MAX_SCENARIOS:
            raise study.error((*at, "grid"), f"{stage.size:,} scenarios; at most {MAX_SCENARIOS:,} are allowed")
        for key, levels in stage.grid.items():
            if key not in Settings.model_fields:
                raise study.error((*at, "grid", key), unknown("factor", key, Settings.model_fields))
            for j, level in enumerate(levels):
                levels[j] = level = _checked_level(study, (*at, "grid", key, j), key, level)
                if level in levels[:j]:
                    raise study.error((*at, "grid", key, j), f"{level} stands in this list twice")
    for j, name in enumerate(study.test.stages if study.test else ()):
        if name not in names:
            raise study.error(("test", "stages", j), unknown("stage", name, names))
        if study.test and study.test.scenarios == "winner" and study.stage(name).select is None:
            raise study.error(
                ("test", "stages", j), f"stage {name} selects no winner; give it `select: {{metric: val/accuracy}}`"
            )


def _check_leaks(study: Study) -> None:
    """Raises StudyError where only scenarios that leak could be chosen: what they score chooses nothing."""
    leaking = study.base.leaks  # what the next stage inherits; a winner never leaks
    for i, stage in enumerate(study.stages):
        levels = stage.grid.get("oversampling")
        leaks = set(levels) == {"random-before-split"} if levels else leaking
        if stage.select and leaks:
            message = "every scenario oversamples before the split, and one that leaks is never selected; add random"
            raise study.error(("stages", i, "select"), message)
        leaking &= stage.select is None
    for field, settings in study.settings():
        if study.search and settings.leaks and field[0] in ("base", "search"):
            raise study.error(field, "random-before-split leaks and is never searched; allowed: none, random")


def _checked_level(study: Study, field: FieldPath, key: str, level: Any) -> Any:
    """The level as the settings hold it: a 0 for a rate is 0.0 there, and must not make another scenario."""
    problem = _level_problem(study, key, level)
    if problem:
        raise study.error(field, problem)
    return getattr(_with_level(study, key, level), key)


def _with_level(study: Study, key: str, level: Any) -> Settings:
    return Settings.model_validate({**study.base.model_dump(), key: level})


def _level_problem(study: Study, key: str, level: Any) -> str | None:
    try:
        _with_level(study, key, level)
    except ValidationError as error:
        return reason(error.errors()[0])
    return None


def _check_search(study: Study) -> None:
    if study.search is None:
        return
    problem = partial(_level_problem, study)
    for field, message in search_problems(study.search, study.base.model_dump(), problem):
        raise study.error(("search", *field), message or unknown("setting", str(field[-1]), Settings.model_fields))


def _check_conflicts(study: Study) -> None:
    """Raises StudyError for settings that cannot stand together but would meet in a scenario."""
    base = {key: getattr(study.base, key) for key in CONFLICTING}
    reached = [base]  # what a stage may start from
    for i, stage in enumerate(study.stages):
        grid = {key: levels for key, levels in stage.grid.items() if key in CONFLICTING}
        points = [dict(zip(grid, levels, strict=True)) for levels in itertools.product(*grid.values())]
        every = [{**start, **point} for start in reached for point in points]
        reached = [point for n, point in enumerate(every) if point not in every[:n]]
        _refuse_conflicts(study, reached, [("stages", i, "grid", key) for key in grid])
    if study.search is not None:
        varied: list[FieldPath] = [("search", "space", key) for key in CONFLICTING if key in study.search.space]
        _refuse_conflicts(study, [base | point for point in study.search.reachable(CONFLICTING)], varied)


def _refuse_conflicts(study: Study, points: list[dict[str, Any]], varied: list[FieldPath]) -> None:
    """varied: where the points' settings are varied; nowhere where they are those of the base."""
    for point in points:
        problem = conflict(point["trainable"], point["augment"])
        if problem:
            raise study.error(varied[-1] if varied else ("base", "augment"), problem)
