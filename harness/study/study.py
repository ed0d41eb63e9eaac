"""The study file: what is trained, on which images, and how it is compared."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from harness.errors import DataError, HarnessError, StudyError
from harness.study.data_block import Data
from harness.study.fold_protocol import Folds
from harness.study.grid import Level, level_of, reached
from harness.study.messages import located
from harness.study.operating import Operating, Prevalences
from harness.study.preprocessing import OF_STUDY, Framing, NativeInputs
from harness.study.search_block import Search
from harness.study.settings import ResolvedSettings, Settings
from harness.study.stage import Stage
from harness.study.strict_yaml import FieldPath, LineNumbers
from harness.study.subgroups import Subgroups
from harness.study.tried import TriedSeeds
from harness.study.types import Count, GrownModel, Model, Name
from harness.study.unit import Combine, UnitName

# fields that decide no result: what differs in them alone is no other study
UNDECISIVE_FIELDS = (
    "description", "paper", "checkpoint_every", "data.path", "data.on_bad_image",
    "search.trials", "search.timeout", "search.confirm", "search.reuse",
)  # fmt: skip


class FinalTest(GrownModel):
    """The stages whose winners (or all their scenarios) are scored on the test set, and with which model."""

    ADDED_LATER = ("refits",)

    stages: Annotated[list[str], Field(min_length=1)]
    scenarios: Literal["winner", "all"] = "winner"  # all: to compare baselines; each is a declared look
    model: Literal["refit", "folds"] = "refit"
    refits: Annotated[int, Field(ge=1, le=20)] = 1  # on all training images, each with a seed of its own

    @model_validator(mode="after")
    def _used(self) -> "FinalTest":
        if self.model == "folds" and self.refits > 1:
            raise ValueError(f"refits: {self.refits} with model: folds, which refits nothing; write model: refit")
        return self


Acceptable = Literal[
    "patient-across-splits", "duplicate-across-splits", "near-duplicate-across-splits", "label-conflict"
]  # the names of the audit's errors


class AuditRules(Model):
    """The errors that the audit accepts, by their names, and further patient rules that it tries."""

    accept: list[Acceptable] = Field(default_factory=list)
    patients: list[str] = Field(default_factory=list)


class Study(GrownModel):
    ADDED_LATER = ("subgroups", "unit", "combine", "metrics", "operating", "prevalences")

    study: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    data: Data
    folds: Folds = Folds()
    base: Settings
    stages: Annotated[list[Stage], Field(min_length=1)]
    search: Search | None = None
    test: FinalTest | None = None
    metrics: list[str] = Field(default=[])  # `module:name`, of the user's own; they change no fit
    subgroups: Subgroups = Field(default=[])
    unit: UnitName = "image"  # what the numbers are about, and what stages select by; it changes no fit
    combine: Combine = "mean"  # how the probabilities of a patient's images become one
    operating: Operating | None = None  # how the threshold is chosen out of fold; None: by the best balanced accuracy
    prevalences: Prevalences = Field(default=[])  # of the positive class, where predictive values are wanted
    paper: str | None = None  # a file in `studies/published/`, which the report compares with this study
    audit: AuditRules = AuditRules()
    checkpoint_every: Count | None = None  # epochs; None: each epoch longer than a minute. Does not change results

    _name: str = PrivateAttr(default="study")
    _lines: LineNumbers = PrivateAttr(default_factory=dict)
    _overrides: dict[FieldPath, str] = PrivateAttr(default_factory=dict)
    _written: dict[str, str] = PrivateAttr(default_factory=dict)  # absolute path -> as it was given
    _text: str = PrivateAttr(default="")
    _changed: dict[str, tuple[Any, Any]] = PrivateAttr(default_factory=dict)
    _native: NativeInputs = PrivateAttr(default_factory=NativeInputs)
    _tried: TriedSeeds = PrivateAttr(default_factory=TriedSeeds)

    def error(self, field: FieldPath, message: str) -> StudyError:
        """The StudyError that names the line or option of `field`: `file:line: field: message`."""
        return located(self._name, self._lines, self._overrides, field, message)

    @property
    def paper_file(self) -> Path | None:
        """The file of the paper that this study repeats."""
        return self.folder / self.paper if self.paper else None

    @property
    def folder(self) -> Path:
        """The folder of the study file."""
        return Path(self._name).parent

    @property
    def text(self) -> str:
        """The text of the study file, before `--set`; empty for a study that was not read from a file."""
        return self._text

    @property
    def changed(self) -> Mapping[str, tuple[Any, Any]]:
        """The fields that `--set` changed, such as `base.epochs` -> the value in the file (or None) and the new one."""
        return self._changed

    @property
    def is_variant(self) -> bool:
        """Whether `--set` changed a field that decides results: it is not the study of its file."""
        return any(not field.startswith(UNDECISIVE_FIELDS) for field in self.changed)

    def as_written(self, level: Any) -> Any:
        """A level as the user wrote it: a path before it was made absolute."""
        return self._written.get(level, level) if isinstance(level, str) else level

    @property
    def native(self) -> NativeInputs:
        """What the word `native` stands for, of each backbone."""
        return self._native

    @property
    def tried(self) -> TriedSeeds:
        """The seeds that were tried on the same images, as of the start of the last run; empty before the first."""
        return self._tried

    def note_tried(self, tried: TriedSeeds) -> None:
        """Set the seeds that were tried on the same images."""
        self._tried = tried

    def resolve_native(self, native: NativeInputs) -> None:
        """Set what the word `native` stands for; until then no settings with it can be resolved."""
        self._native = native

    def resolve_metrics(self, greater: Mapping[str, bool]) -> None:
        """Set which of the own metrics, such as `val/Kappa`, are better the higher."""
        for stage in self.stages:
            if stage.select:
                stage.select.resolve_metrics(greater)
        if self.search:
            with self.blamed("search", "objective", "direction"):
                self.search.objective.resolve_metrics(greater)

    def resolved(self, settings: Settings) -> ResolvedSettings:
        """Return the settings as they decide the numbers of this study."""
        if settings.is_built_in or not settings.native:
            return settings.resolved(self.data.image_size)
        name, size, words = settings.backbone, self.data.image_size, OF_STUDY
        if "image_size" in settings.native:
            size = self._native.sizes[name]
        if "preprocessing" in settings.native:
            words = self._native.preprocessing[name]
        return settings.resolved(size, words)

    @property
    def selects(self) -> bool:
        """Whether a stage selects a winner."""
        return any(stage.select for stage in self.stages)

    @property
    def factors(self) -> list[str]:
        """The names of all factors that a stage varies, in order."""
        return list(dict.fromkeys(key for stage in self.stages for key in (*stage.grid, *stage.zip)))

    @contextmanager
    def blamed(self, *field: str | int) -> Iterator[None]:
        """Add the line of `field` in the study file to errors that are raised within this block."""
        try:
            yield
        except HarnessError as error:
            at = error.field if isinstance(error, DataError) and error.field else field
            raise type(error)(str(self.error(at, str(error)))) from None

    @property
    def searched(self) -> Search:
        """The search block. Raises StudyError where the study has none."""
        if self.search is None:
            raise self.error(("search",), "the study has no search: block; add `search: {space: ..., trials: 40}`")
        return self.search

    def stage(self, name: str) -> Stage:
        """The stage of this name. Raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]

    def levels(self) -> Iterator[tuple[int, str, FieldPath, Level]]:
        """Every level of every stage: the number of the stage, the factor, the field, and the level."""
        for i, stage in enumerate(self.stages):
            for block, grid in (("grid", stage.grid), ("zip", stage.zip)):
                for key, levels in grid.items():
                    for j, level in enumerate(levels):
                        yield i, key, ("stages", i, block, key, j), level_of(level)

    def settings(self) -> Iterator[tuple[FieldPath, Settings]]:
        """The base, and the base with each level of each grid and each choice of the search; each with its field."""
        yield ("base",), self.base
        for _, key, field, level in self.levels():
            yield field, self.base.model_copy(update={key: level.value, **level.brings})
        for key, dimension in self.search.space.items() if self.search else ():
            for j, level in enumerate(dimension.choices or ()):
                yield ("search", "space", key, "choices", j), self.base.model_copy(update={key: level})

    @property
    def framings(self) -> set[Framing]:
        """The squares that some scenario reads; those of a range of the search are not known before."""
        fields, search = ("backbone", "image_size", "preprocessing"), self.search
        found = [settings for stage in self.reached(fields) for settings in stage]
        for point in search.reachable(fields) if search else ():
            known = {key: value for key, value in point.items() if search and search.space[key].choices}
            found.append(self.base.model_copy(update=known))
        return {self.resolved(settings).framing for settings in found}

    def place(self, field: FieldPath, name: str) -> FieldPath:
        """The field that gives a setting, below one of those of `settings`."""
        below = (*field, name)
        return below if field == ("base",) or below in self._lines else field

    def reached(self, fields: Collection[str]) -> Iterator[list[Settings]]:
        """For each stage, the settings that it can reach with any winner before it, each once as far as `fields` go."""
        return reached(self.base, ((stage.points(), stage.select is not None) for stage in self.stages), fields)
