"""The printed numbers of a paper as data, each with its place in the paper: the files `studies/published/*.yaml`."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError

from harness.errors import StudyError
from harness.study.messages import from_pydantic, unknown
from harness.study.settings import Settings
from harness.study.strict_yaml import FieldPath, LineNumbers, dotted, read_yaml
from harness.study.types import Count, Model, Name

FACTORS = tuple(Settings.model_fields)
PublishedMetric = Literal["accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy", "mcc"]


def _decimal(value: str) -> str:
    whole, _, digits = value.partition(".")
    if not (whole.isascii() and whole.isdigit() and digits.isascii() and digits.isdigit()):
        raise ValueError('a printed value stands in quotes with all its digits, such as "0.880"')
    return value


Printed = Annotated[str, AfterValidator(_decimal)]
Text = Annotated[str, Field(min_length=1)]
Share = Annotated[int, Field(ge=0, le=10_000_000)]


class PrintedValue(Model):
    """One number of the paper. class: for metrics of one class."""

    metric: PublishedMetric
    of_class: Annotated[str | None, Field(alias="class")] = None
    value: Printed
    where: Text


class PublishedModel(Model):
    """A model of the paper: its correct test images per class, or its confusion matrix `{true: {predicted: count}}`."""

    name: Text
    where: Text
    layers: Count | None = None
    backbone: str | None = None  # the same network, as a study names it
    correct: dict[str, Share] | None = None
    confusion: dict[str, dict[str, Share]] | None = None
    printed: list[PrintedValue] = Field(default_factory=list)


class Claim(Model):
    """A claim of the paper that one of its models is better."""

    better: str
    worse: str
    where: Text


class CrossValidation(Model):
    """A validation score of a model, over this many images."""

    model: str
    metric: Literal["accuracy"]
    value: Printed
    images: Count
    where: Text


class PrintedCount(Model):
    """A printed number of images, and the parts that should sum to it."""

    what: Text
    printed: Count
    where: Text
    parts: Annotated[dict[str, Count], Field(min_length=1)]
    parts_from: Text


class Item(Model):
    """A table or figure of the paper: levels of a `factor`, their curves, or a result of the tested model."""

    item: Text
    kind: Literal["levels", "curves", "confusion", "classes", "baseline"]
    shows: Text
    factor: str | None = None
    levels: list[str] = Field(default_factory=list)  # those that the paper compares, as a study names them


class OpenQuestion(Model):
    """A detail that the paper leaves open: the fields that decide it here, or our choice in words."""

    question: Text
    fields: list[str]
    choice: str | None = None


class Published(Model):
    paper: Name
    title: Text
    authors: Text
    source: Text
    positive: str | None = None
    test: Annotated[dict[str, Count], Field(min_length=2)]  # images of each class in the test set
    models: Annotated[list[PublishedModel], Field(min_length=1)]
    comparisons: list[Claim] = Field(default_factory=list)
    cross_validation: list[CrossValidation] = Field(default_factory=list)
    counts: list[PrintedCount] = Field(default_factory=list)
    items: list[Item] = Field(default_factory=list)
    open: list[OpenQuestion] = Field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return list(self.test)

    def model_named(self, name: str) -> PublishedModel:
        """The model of this name. Raises KeyError."""
        return {model.name: model for model in self.models}[name]

    def matrix(self, model: PublishedModel) -> NDArray[np.int64]:
        """The confusion matrix [true, predicted]; with two classes it follows from the correct images."""
        classes = self.classes
        if model.confusion is not None:
            return np.array([[model.confusion[true].get(predicted, 0) for predicted in classes] for true in classes])
        assert model.correct is not None
        (first, n_first), (second, n_second) = self.test.items()
        a, b = model.correct[first], model.correct[second]
        return np.array([[a, n_first - a], [n_second - b, b]])


def load_published(path: Path) -> Published:
    """Load the paper in the file `path`. Raises StudyError (`file:line: field: what is wrong, what is allowed`)."""
    data, lines = read_yaml(path, "file of a paper")
    if not isinstance(data, dict):
        raise StudyError(f"{path}:1: a paper is a mapping that starts with `paper: NAME`")
    try:
        published = Published.model_validate(data)
    except ValidationError as error:
        raise from_pydantic(error, str(path), lines, {}, Published) from None
    for field, message in _contradictions(published):
        raise StudyError(f"{path}:{_line(lines, field)}: {dotted(field)}: {message}")
    return published


def _line(lines: LineNumbers, field: FieldPath) -> int:
    return next(lines[field[:depth]] for depth in range(len(field), -1, -1) if field[:depth] in lines)


def _contradictions(published: Published) -> list[tuple[FieldPath, str]]:
    """The fields that contradict others, each with a message.

    Counts that merely disagree are findings of the report, not errors.
    """
    found: list[tuple[FieldPath, str]] = []
    names = [model.name for model in published.models]
    if published.positive is not None and published.positive not in published.test:
        found.append((("positive",), unknown("class", published.positive, published.test)))
    for i, model in enumerate(published.models):
        at: FieldPath = ("models", i)
        if names.index(model.name) != i:
            found.append(((*at, "name"), f"another model is called {model.name} already"))
        found += _matrix_errors(published, model, at)
        for j, value in enumerate(model.printed):
            needs_class = value.metric in ("precision", "recall", "f1", "specificity")
            if (value.of_class is None) == needs_class:
                text = f"{value.metric} is of one class" if needs_class else f"{value.metric} is of all classes"
                found.append(((*at, "printed", j, "class"), text))
            elif value.of_class is not None and value.of_class not in published.test:
                found.append(((*at, "printed", j, "class"), unknown("class", value.of_class, published.test)))
    found += [
        (
            ("items", i, "factor"),
            f"an item of the kind {item.kind} compares the levels of a factor: {', '.join(FACTORS)}",
        )
        for i, item in enumerate(published.items)
        if item.kind in ("levels", "curves") and item.factor not in FACTORS
    ]
    references = [
        (("comparisons", i, key), getattr(c, key))
        for i, c in enumerate(published.comparisons)
        for key in ("better", "worse")
    ]
    references += [(("cross_validation", i, "model"), c.model) for i, c in enumerate(published.cross_validation)]
    return found + [(field, unknown("model", name, names)) for field, name in references if name not in names]


def _matrix_errors(published: Published, model: PublishedModel, at: FieldPath) -> list[tuple[FieldPath, str]]:
    if (model.correct is None) == (model.confusion is None):
        return [(at, "a model has either `correct` or `confusion`")]
    if model.correct is not None:
        if len(published.test) > 2:
            return [((*at, "correct"), "with three classes or more the whole `confusion` matrix is needed")]
        if set(model.correct) != set(published.test):
            return [((*at, "correct"), f"the classes are {', '.join(published.test)}")]
        sums = model.correct
        return [
            ((*at, "correct", name), f"{sums[name]} of {n} images cannot be right")
            for name, n in published.test.items()
            if sums[name] > n
        ]
    assert model.confusion is not None
    predicted = {name for row in model.confusion.values() for name in row}
    if set(model.confusion) != set(published.test) or not predicted <= set(published.test):
        return [((*at, "confusion"), f"the classes are {', '.join(published.test)}")]
    return [
        ((*at, "confusion", name), f"the row sums to {sum(row.values())}; the test set has {published.test[name]}")
        for name, row in model.confusion.items()
        if sum(row.values()) != published.test[name]
    ]


def exact(value: Printed) -> Fraction:
    """The printed number without rounding."""
    return Fraction(value)
