"""Outer folds, on which the selection of a stage is scored, and the study's own folds within the rest of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from harness.data.dataset import Dataset, Rows
from harness.data.folds import Fold, fold_digests, make_folds
from harness.errors import DataError, HarnessError
from harness.study import Study
from harness.study.nested import NestedDigests, OuterDigests

_OUTER = "outer"  # a split of no study: what is in it is neither trained on nor validated


@dataclass(frozen=True)
class OuterFold:
    """One outer fold. outer: trained on the rest of the training images, validated on the fold itself.

    inner: the study's folds of that rest alone.
    """

    outer: Fold
    inner: list[Fold]


@dataclass(frozen=True)
class NestedFolds:
    """The outer folds of a stage."""

    stage: str
    folds: tuple[OuterFold, ...]

    @cached_property
    def outer(self) -> list[Fold]:
        """The outer folds alone."""
        return [fold.outer for fold in self.folds]

    def digests(self, dataset: Dataset) -> NestedDigests:
        """The hashes of all these folds, by which their fits are known."""
        outer = fold_digests(dataset, self.outer)
        found = [
            OuterDigests(value, fold_digests(dataset, f.inner))
            for value, f in zip(outer.values(), self.folds, strict=True)
        ]
        return NestedDigests(self.stage, tuple(found))


def nested_folds(study: Study, dataset: Dataset) -> tuple[NestedFolds, ...]:
    """Make the folds of every stage that nests its selection, stratified and grouped as the folds of the study are.

    With as many outer folds as the study has folds, they are the folds of its first repeat, whose fits stand already.
    Raises DataError or LeakageError where there are too few patients, or images of a class, for so many folds.
    """
    found = []
    for index, stage in enumerate(study.stages):
        if stage.select and stage.select.nested:
            with study.blamed("stages", index, "select", "nested"):
                found.append(NestedFolds(stage.name, tuple(_outer_folds(study, dataset, stage.select.nested))))
    return tuple(found)


def _outer_folds(study: Study, dataset: Dataset, count: int) -> Iterator[OuterFold]:
    for outer in make_folds(dataset, study.folds.model_copy(update={"k": count, "repeats": 1})):
        splits = dataset.table["split"].to_numpy(dtype=object, copy=True)
        splits[outer.validation] = _OUTER
        rest = replace(dataset, table=dataset.table.assign(split=splits))
        try:
            yield OuterFold(outer, make_folds(rest, study.folds))
        except HarnessError as error:
            raise DataError(f"without outer fold {outer.fold} of {count}, {error}") from None


def nested_json(dataset: Dataset, nested: Sequence[NestedFolds]) -> list[dict[str, Any]]:
    """The folds by their images, as a record stores them."""
    images = dataset.table["image"]

    def of(fold: Fold) -> dict[str, Any]:
        sides = {"train": images[fold.train].tolist(), "validation": images[fold.validation].tolist()}
        return {"repeat": fold.repeat, "fold": fold.fold, **sides}

    return [
        {"stage": n.stage, "folds": [{"outer": of(f.outer), "inner": list(map(of, f.inner))} for f in n.folds]}
        for n in nested
    ]


def nested_of(content: Sequence[dict[str, Any]], dataset: Dataset) -> tuple[NestedFolds, ...]:
    """The folds of a record."""
    rows = {image: row for row, image in enumerate(dataset.table["image"])}

    def side(images: list[str]) -> Rows:
        return np.array([rows[image] for image in images], dtype=np.int64)

    def of(fold: dict[str, Any]) -> Fold:
        return Fold(fold["repeat"], fold["fold"], side(fold["train"]), side(fold["validation"]))

    return tuple(
        NestedFolds(n["stage"], tuple(OuterFold(of(f["outer"]), list(map(of, f["inner"]))) for f in n["folds"]))
        for n in content
    )
