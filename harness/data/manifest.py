"""The manifest: every image of a study with its class, patient, split and hash."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from unicodedata import normalize

import pandas as pd

from harness.data.corrections import Correction, corrected
from harness.data.dataset import LEADING, Dataset, Skipped, place_of, set_split
from harness.data.held_out import FIELD, with_test_set
from harness.data.left_out import LeftOut
from harness.data.listing import visible_name
from harness.data.set_images import left_out_of_set, of_set, set_table, with_sets
from harness.data.source_images import KnownBad, SourceImages, read_images
from harness.data.subset import limited
from harness.errors import DataError, LeakageError
from harness.study.data_block import Data
from harness.study.number_words import is_are, number_of

FIRST = ["image", "split", "label", "patient", "sha256", "size"]  # the first columns of a manifest
NO_ROOTS: Mapping[str, Path] = MappingProxyType({})


def read_dataset(
    root: Path,
    spec: Data,
    accepted: Collection[str] = (),
    known_bad: KnownBad = lambda _: None,
    set_roots: Mapping[str, Path] = NO_ROOTS,
) -> Dataset:
    """Read the image folder `root` as the study file specifies it.

    accepted: the names of audit errors that the study file accepts. known_bad: returns the bad images of an earlier run
    over the same files, by their hash; where it returns None and bad images are to be skipped, every image is decoded.
    set_roots: the image folders of the test sets with a source of their own.

    Raises DataError and LeakageError.
    """
    own = read_images(root, spec, known_bad)
    further = {name: _read_set(set_roots[name], spec, name, known_bad) for name in spec.own_sets}
    table, left_out, changed = _table(own, further, spec)
    classes = tuple(sorted(set(table.loc[table["split"] == "train", "label"])))
    dataset = Dataset(
        root,
        table,
        classes,
        _positive(spec, classes),
        spec.source == "phantom",
        _skipped(own, further),
        spec.patient_source,
        left_out,
        spec.pixel_rules,
        tuple(dict.fromkeys([*spec.metadata, *(name for each in spec.sets.values() for name in each.metadata)])),
        tuple(spec.sets),
        dict(set_roots),
        changed,
    )
    _check_classes(dataset)
    _check_leaks(dataset, accepted, spec.test is not None and spec.test.share is not None)
    return limited(dataset, spec.limit) if spec.limit else dataset


def _read_set(root: Path, spec: Data, name: str, known_bad: KnownBad) -> SourceImages:
    """Read the images of a test set with a source of its own. Raises DataError with the field of that set."""
    with of_set(name):
        own = spec.own_sets[name]
        found = read_images(root, own, known_bad, every_split=True)
        return replace(found, table=set_table(found, name, spec.sets[name], own.patient_source is not None))


def _table(
    own: SourceImages, further: Mapping[str, SourceImages], spec: Data
) -> tuple[pd.DataFrame, tuple[LeftOut, ...], tuple[Correction, ...]]:
    """The table of all images, the training images first and then each test set; what is left out, and corrected."""
    images, left_out = own.table, own.left_out
    if spec.sets:
        images, unused = with_sets(images, {name: found.table for name, found in further.items()}, spec)
        of_sets = (left for name, found in further.items() for left in left_out_of_set(name, found.left_out))
        left_out = (*left_out, *unused, *of_sets)
    elif spec.test is not None and spec.test.held_out is not None:
        images = with_test_set(images, spec.test.held_out, spec.patient_source is not None)
    changed: tuple[Correction, ...] = ()
    if spec.corrections is not None:
        images, changed = corrected(images, spec.corrections)  # of known splits: no image moves to the test set
    columns = [*FIRST, *(name for name in images if name not in (*FIRST, "bad"))]
    table = pd.DataFrame({name: images[name].tolist() for name in columns})  # text as pandas has it
    if "row" in table and table["row"].isna().any():
        table = table.astype({"row": "Int64"})
    places = {split: place for place, split in enumerate(["train", LEADING, *map(set_split, spec.sets)])}
    by_place = table.sort_values(["split", "image"], key=lambda x: x.map(places) if x.name == "split" else x)
    return by_place.reset_index(drop=True), left_out, changed


def _skipped(own: SourceImages, further: Mapping[str, SourceImages]) -> Skipped | None:
    """The bad images of all sources; None where the study file leaves none out."""
    if own.skipped is None:
        return None
    of_sets = {name: found.skipped for name, found in further.items() if found.skipped is not None}
    reasons = {f"{name}:{image}": why for name, each in of_sets.items() for image, why in each.reasons.items()}
    return Skipped(
        own.skipped.files_digest,
        own.skipped.of + sum(each.of for each in of_sets.values()),
        {**own.skipped.reasons, **reasons},
        {name: each.files_digest for name, each in of_sets.items()},
    )


def _positive(spec: Data, classes: tuple[str, ...]) -> str | None:
    """The positive class: as given, or the last of two in alphabetical order."""
    positive = spec.positive and normalize("NFC", spec.positive)
    if positive is not None and positive not in classes:
        raise DataError(
            f"the positive class {positive} is not in the data; its classes: {', '.join(classes)}",
            ("data", "positive"),
        )
    return positive or (classes[-1] if len(classes) == 2 else None)


def _check_classes(dataset: Dataset) -> None:
    """Raise DataError where a test set has other classes than training."""
    if len(dataset.classes) < 2:
        raise DataError(f"the training images have the classes {list(dataset.classes)}; at least two are needed")
    for number, split in enumerate(dataset.splits[1:]):
        field = (*FIELD, "sets", dataset.sets[number]) if dataset.sets else ()
        found = set(dataset.table.loc[dataset.table["split"] == split, "label"])
        if problem := _other_classes(dataset, split, found):
            raise DataError(problem, field)


def _other_classes(dataset: Dataset, split: str, found: set[str]) -> str | None:
    """What is wrong with the classes of a test set; None where they are those of training, or it is empty."""
    train, test, known = dataset.split_words("train"), dataset.split_words(split), set(dataset.classes)
    for label in sorted(found - known):
        similar = next((name for name in dataset.classes if _looks(name) == _looks(label)), None)
        if similar is not None:
            return (
                f"{train} has the class {similar!r} and {test} {label!r}, which differ only by spaces or case;"
                f" give both {'of them' if dataset.sets else 'folders'} the same name"
            )
    if found - known:
        return f"{test} has classes that {train} lacks: {', '.join(sorted(found - known))}"
    return f"{test} lacks classes of {train}: {', '.join(sorted(known - found))}" if found and known - found else None


def _looks(label: str) -> str:
    return visible_name(label).casefold()


def _check_leaks(dataset: Dataset, accepted: Collection[str], held_out: bool) -> None:
    """Raise LeakageError where a patient or an identical file is in train and in a test set, or in two of them.

    held_out: whether the test set was drawn from the training images.
    """
    mend = "write data.test: {by: patient}" if held_out else "remove them from one side, fix data.patient"
    if dataset.set_roots:
        mend += " (where other people have the same numbers, the set gets `patient_scope: set`)"
    for column, what, finding in (
        ("patient", "patient", "patient-across-splits"),
        ("sha256", "identical file", "duplicate-across-splits"),
    ):
        for pair in combinations(dataset.splits, 2) if finding not in accepted else ():
            by_split = {split: dataset.table[dataset.table["split"] == split] for split in pair}
            one, other = (set(rows[column]) for rows in by_split.values())
            if shared := one & other:
                first = {s: place_of(rows[rows[column].isin(shared)].iloc[0]) for s, rows in by_split.items()}
                sides = " and in ".join(dataset.split_words(split) for split in pair)
                raise LeakageError(
                    f"{number_of(len(shared), what)} {is_are(len(shared))} in {sides}, such as {first[pair[0]]} and"
                    f" {first[pair[1]]}; {mend}, or accept it by name: audit: {{accept: [{finding}]}}"
                )
