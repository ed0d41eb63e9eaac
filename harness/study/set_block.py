"""The block `data.test:` of a study file: test images that are held out, picked by their metadata, or of their own."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from harness.study.messages import unknown
from harness.study.strict_yaml import FieldPath
from harness.study.types import Model, Name

Split = Literal["train", "val", "test"]
SPLIT = "split"  # in a condition: the split of an image, not a column of its metadata
SPLIT_NAMES: dict[str, Split] = {  # names in a table, in lower case, that need no `splits:`
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SetShare = Annotated[float, Field(gt=0, lt=1)]
OF_SHARE, OF_TABLE = ("by", "seed"), ("root", "columns", "splits")  # fields that only such a set may have
OF_SOURCE = (*OF_TABLE, "path", "metadata", "labels", "links", "patient", "patient_scope")
EXAMPLES = "{split: test}, {site: B}, {share: 0.2} or {source: folder, path: DIR}"


class HeldOut(Model):
    """The part of the images that becomes the test set, where they come without one."""

    share: SetShare
    by: Literal["patient", "image"] = "patient"
    seed: Annotated[int, Field(ge=0)] = 0


class Columns(Model):
    """The columns of a table of images, by what they say of an image. None: the table does not say it."""

    image: str = "image"
    label: str = "label"
    patient: str | None = None
    split: str | None = None
    fold: str | None = None


def _condition(value: Any) -> Any:
    """Return the values of a condition, as a list or as the one that is given. Raises ValueError."""
    each = value if isinstance(value, list) else [value]
    if not each or any(type(one) not in (str, int, float) for one in each):
        raise ValueError("a condition is a value or a list of values, such as {site: B} or {site: [B, C]}")
    return value


_VALUE = {"anyOf": [{"type": "string"}, {"type": "number"}]}
Condition = Annotated[
    Any,
    PlainValidator(_condition),
    WithJsonSchema({"anyOf": [*_VALUE["anyOf"], {"type": "array", "items": _VALUE, "minItems": 1}]}),
]


class NamedSet(Model):
    """One of several test sets: images of the study by their metadata, a share of them, or images of a source.

    Any further key is a column of the metadata, and a condition on its values.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Condition] = Field(init=False)

    split: Condition | None = None
    share: SetShare | None = None
    by: Literal["patient", "image"] = "patient"
    seed: Annotated[int, Field(ge=0)] = 0
    source: Literal["folder", "table", "npz"] | None = None
    path: str | None = None
    root: str | None = None
    columns: Columns | None = None  # None: those of the study that say image, label and patient
    metadata: list[str] = Field(default_factory=list)
    labels: dict[str, str] | None = None
    splits: dict[str, Split] | None = None
    links: Literal["refuse", "follow"] = "refuse"
    patient: str | None = None
    patient_scope: Literal["study", "set"] = "study"  # set: patient 1 of this set is not patient 1 of the others

    @property
    def conditions(self) -> Mapping[str, tuple[Any, ...]]:
        """The values that each column, or `split`, may have."""
        given = ({SPLIT: self.split} if self.split is not None else {}) | (self.__pydantic_extra__ or {})
        return {name: tuple(value) if isinstance(value, list) else (value,) for name, value in given.items()}

    @property
    def held_out(self) -> HeldOut | None:
        """The share that is drawn; None where the set is made otherwise."""
        return None if self.share is None else HeldOut(share=self.share, by=self.by, seed=self.seed)

    @property
    def words(self) -> str:
        """How the set was made: `split test, site B or C`."""
        if self.held_out is not None:
            return f"{self.share:g} of the same images{drawn_words(self.held_out)}"
        picked = ", ".join(f"{name} {' or '.join(map(str, values))}" for name, values in self.conditions.items())
        own = f"images of its own (source {self.source})" if self.source else ""
        return ", ".join(part for part in (own, picked) if part)


def _apart(sets: dict[str, NamedSet] | None) -> dict[str, NamedSet] | None:
    """Return the sets. Raises ValueError where there are none, or where two names are one to some file systems."""
    if sets is not None and not sets:
        raise ValueError(f"name a set or more, such as {{hospital-b: {EXAMPLES.partition(' or ')[0]}}}")
    seen: dict[str, str] = {}
    for name in sets or ():
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ValueError(f"the sets {other} and {name} differ only by case")
    return sets


class TestImages(Model):
    """Where test images come from, if not from a test split: a share that is held out, or several named sets."""

    share: SetShare | None = None
    by: Literal["patient", "image"] = "patient"
    seed: Annotated[int, Field(ge=0)] = 0
    sets: Annotated[dict[Name, NamedSet] | None, AfterValidator(_apart)] = None

    @property
    def held_out(self) -> HeldOut | None:
        """The share that is drawn for the one test set; None where there are named sets."""
        return None if self.share is None else HeldOut(share=self.share, by=self.by, seed=self.seed)


def drawn_words(spec: HeldOut) -> str:
    """The words after a share: `, whole patients, drawn at random (data.test, seed 0)`."""
    whole = ", whole patients" if spec.by == "patient" else ""
    return f"{whole}, drawn at random (data.test, seed {spec.seed})"


def set_problems(test: TestImages, metadata: list[str]) -> Iterator[tuple[FieldPath, str]]:
    """Yield what is wrong with the block, with the field below `data.test`. metadata: the columns of the study."""
    if (test.share is None) == (test.sets is None):
        both = "share and sets are given; a share is a set of its own: sets: {internal: {share: 0.2}}"
        yield ("sets",) if test.sets else (), both if test.sets else f"give share, or sets: {{NAME: {EXAMPLES}}}"
    if test.sets and (extra := _changed(test, OF_SHARE)):
        yield (extra[0],), "this is for `share`; of a set it stands beside its own share"
    for name, spec in (test.sets or {}).items():
        yield from ((("sets", name, *field), words) for field, words in _problems(spec, metadata))


def _changed(block: Model, fields: tuple[str, ...]) -> list[str]:
    """Those of these fields that are not at their default; a record of a study names every field."""
    plain = {name: field.get_default(call_default_factory=True) for name, field in type(block).model_fields.items()}
    return [name for name in fields if getattr(block, name) != plain[name]]


def _problems(spec: NamedSet, metadata: list[str]) -> Iterator[tuple[FieldPath, str]]:
    """What is wrong with one set."""
    extra = list(spec.__pydantic_extra__ or {})
    if sum((spec.share is not None, spec.source is not None, spec.source is None and bool(spec.conditions))) != 1:
        yield (), f"a set is made in one way; write one of {EXAMPLES}"
        return
    for needs, fields in (("share", OF_SHARE), ("source", OF_SOURCE)):
        for field in _changed(spec, fields) if getattr(spec, needs) is None else ():
            yield (field,), f"this is for a set with `{needs}`"
    if spec.source is None:
        for column in extra:
            if column not in metadata:
                words = unknown("column", column, [SPLIT, *metadata])
                yield (column,), f"{words}; other columns are named in data.metadata"
        return
    if spec.path is None:
        yield ("path",), f"the source {spec.source} needs a path"
    for field in _changed(spec, OF_TABLE) if spec.source != "table" else ():
        yield (field,), f"this is for `source: table`; the source is {spec.source}"
    for column in extra:
        if column not in spec.metadata:
            yield (column,), unknown("key", column, [*NamedSet.model_fields, *spec.metadata])
    if spec.patient is not None and spec.columns is not None and spec.columns.patient is not None:
        yield ("patient",), "columns.patient says who the patient is; keep one of them"
