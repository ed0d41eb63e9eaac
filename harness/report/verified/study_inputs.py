"""Check the record of a study: ids and digests follow from its files, and the folds are what it says of them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from harness.data.backbone_sources import place_of_source, recorded_source
from harness.data.dataset import Dataset
from harness.data.folds import Fold, check_fold, fold_digests, folds_json, make_folds
from harness.data.inputs import Workspace
from harness.data.nested_folds import NestedFolds
from harness.data.patients import patients
from harness.data.record import ABOUT_FILE, NESTED_FILE, StudyRecord
from harness.errors import HarnessError
from harness.models.custom import source_digest
from harness.models.repositories import SOURCE, content_digest
from harness.report.verified.differences import compare_json
from harness.report.verified.verified_item import Verdicts, VerifiedItem
from harness.store.chain import hash_of_file
from harness.study.data_block import DICOM_PREFIX, PatientScope
from harness.study.number_words import first_of
from harness.study.origin import origin_of, short_name
from harness.study.settings import weights_file

MAX_NAMED = 5  # images in a line
_Found = tuple[Verdicts, str]


def record_items(record: StudyRecord, workspace: Workspace) -> Iterator[VerifiedItem]:
    """Check everything in a record that follows from its other files."""
    place = record.folder.relative_to(workspace.store.root).as_posix()

    def item(file: str, holds: bool, true: str, false: str) -> VerifiedItem:
        return VerifiedItem(
            "study records", f"{place}/{file}", "holds" if holds else "differs", true if holds else false
        )

    inputs, digests = workspace.inputs, record.digests
    dataset, folds = inputs.dataset, inputs.folds
    yield item(
        "study.yaml", workspace.identity == record.study_id == record.about["study_id"],
        "the study's id follows from its content", f"by its content, the study's id is {workspace.identity}",
    )  # fmt: skip
    yield item(
        "manifest.parquet", dataset.digest == digests.manifest,
        f"its digest is {digests.manifest}", f"its digest is {dataset.digest}, and {digests.manifest} is recorded",
    )  # fmt: skip
    if digests.sets or dataset.sets_digest:
        found, stored = dataset.sets_digest, digests.sets
        words = f"the digest of its further sets is {found}"
        yield item("manifest.parquet", found == stored, words, f"{words}, and {stored} is recorded")
    yield item(
        "folds.json", fold_digests(dataset, folds) == digests.folds, "the digests of all folds are those recorded",
        "the digests of the folds are not those recorded",
    )  # fmt: skip
    stored = (record.folder / "folds.json").read_text(encoding="utf-8")
    counted = compare_json(stored, json.dumps(folds_json(dataset, folds, digests.all_folds))).differences
    yield item("folds.json", not counted, "its counts follow from its images", "; ".join(counted))
    for name, source in inputs.heads.items():
        same = source_digest(source) == digests.heads[name]
        yield item("heads", same, f"the source of {name} is that recorded", f"the source of {name} is another one")
    yield from (VerifiedItem("study records", f"{place}/{file}", *found) for file, found in _separation(workspace))
    yield from (VerifiedItem("study records", f"{place}/record.json", *found) for found in _weights(workspace))
    yield from _own_backbones(record, workspace)


def _separation(workspace: Workspace) -> Iterator[tuple[str, _Found]]:
    """What the folds keep apart, counted again."""
    dataset, folds, shared = workspace.inputs.dataset, workspace.inputs.folds, workspace.inputs.separation
    try:
        for fold in folds:
            check_fold(dataset, fold, workspace.study.folds.grouped)
        yield "folds.json", ("holds", f"no image on both sides of a fold; {shared.of_folds}")
    except HarnessError as error:
        yield "folds.json", ("differs", str(error))
    whole = _cover(dataset, folds)
    words = (
        "in every repeat each training image is validated once"
        if whole
        else "a repeat does not validate every training image once"
    )
    yield "folds.json", ("holds" if whole else "differs", words)
    yield "folds.json", _made_again(workspace)
    yield from ((NESTED_FILE, _outer_apart(workspace, nested)) for nested in workspace.inputs.nested)
    spec = workspace.study.data
    if spec.columns.patient is None and dataset.patient_rule is not None:
        yield "manifest.parquet", _patients(dataset, dataset.patient_rule, spec.patient_scope)


def _outer_apart(workspace: Workspace, nested: NestedFolds) -> _Found:
    """What the outer folds of a stage keep apart, counted again."""
    dataset, grouped = workspace.inputs.dataset, workspace.study.folds.grouped
    try:
        for fold in nested.folds:
            for each in (fold.outer, *fold.inner):
                check_fold(dataset, each, grouped)
            seen = np.concatenate([np.append(inner.train, inner.validation) for inner in fold.inner])
            if not np.array_equal(np.unique(seen), np.sort(fold.outer.train)):
                return "differs", f"stage {nested.stage}: the folds without outer fold {fold.outer.fold} are of others"
    except HarnessError as error:
        return "differs", f"stage {nested.stage}: {error}"
    if not _cover(dataset, nested.outer):
        return "differs", f"stage {nested.stage}: not every training image is in one outer fold"
    return "holds", f"stage {nested.stage}: no image of an outer fold is in the folds of the rest"


def _cover(dataset: Dataset, folds: list[Fold]) -> bool:
    """Whether the validation sides of each repeat are the training images, each once."""
    train = dataset.rows("train")
    repeats = {fold.repeat for fold in folds}
    sides = [np.concatenate([fold.validation for fold in folds if fold.repeat == repeat]) for repeat in repeats]
    return all(np.array_equal(np.sort(side), np.sort(train)) for side in sides)


def _made_again(workspace: Workspace) -> _Found:
    """Make the folds again by the study's seed: they must not have been chosen."""
    dataset, folds = workspace.inputs.dataset, workspace.inputs.folds
    again = make_folds(dataset, workspace.study.folds)
    same = fold_digests(dataset, again) == fold_digests(dataset, folds)
    if same:
        return "holds", "made again from the manifest and the study's seed, the folds are the same"
    words, here = "made again from the manifest and the study's seed, the folds are others", version("scikit-learn")
    if any(f"scikit-learn {here}" in command.versions for command in workspace.commands):
        return "differs", words
    return "cannot be checked", f"{words}: scikit-learn is {here} here, and was another version then"


def _patients(dataset: Dataset, rule: str, scope: PatientScope) -> _Found:
    """Read the patients from the paths again."""
    if rule.startswith(DICOM_PREFIX):
        return "cannot be checked", f"the patients are those of the tag {rule}, which only the images have"
    try:
        own = dataset.own_images
        found = patients(own, rule, scope)
        wrong = sum(a != b for a, b in zip(found, own["patient"], strict=True))
    except HarnessError as error:
        return "differs", str(error)
    return (
        ("differs", f"the rule {rule} gives another patient for {wrong:,} of {len(own):,} images")
        if wrong
        else ("holds", f"the patients are those of the rule {rule}")
    )


def _weights(workspace: Workspace) -> Iterator[_Found]:
    """Compare the files of weights that are still there with their hashes."""
    for (backbone, name), stored in workspace.inputs.digests.weights.items():
        digest = stored.partition(SOURCE)[0]
        if digest.startswith("folder:"):
            yield _folder(backbone, digest)
            continue
        if not digest.startswith("sha256:"):
            if not digest.startswith("none"):
                yield "cannot be checked", f"the weights of {backbone} are known by name ({digest}), not by hash"
            continue
        path, backbone = weights_file(name), short_name(backbone)
        found = hash_of_file(path)
        if found == digest.removeprefix("sha256:"):
            yield "holds", f"the weights of {backbone} are those in {path.name}"
        else:
            why = "is not here" if found is None else "is another file here"
            yield "cannot be checked", f"the weights of {backbone}: {path.name} {why}"


def _own_backbones(record: StudyRecord, workspace: Workspace) -> Iterator[VerifiedItem]:
    """Compare the recorded sources of the user's own backbones with their hashes; without one, the file of today."""
    place = record.folder.relative_to(workspace.store.root).as_posix()
    for (backbone, _), stored in record.digests.weights.items():
        hashed = stored.partition(SOURCE)[2]
        if not hashed:
            continue
        name, source = short_name(backbone), recorded_source(record.folder, backbone, hashed)
        if source is None:
            yield VerifiedItem("study records", f"{place}/{ABOUT_FILE}", *_own(backbone, hashed))
            continue
        same = source_digest(source) == hashed
        words = f"the source of {name} is {'that recorded' if same else 'another one'}"
        file = f"{place}/{place_of_source(backbone, hashed)}"
        yield VerifiedItem("study records", file, "holds" if same else "differs", words)


def _own(backbone: str, source: str) -> _Found:
    """Compare the source of a backbone of the user's own, if it is still there, with its hash."""
    name, origin = short_name(backbone), origin_of(backbone)
    try:
        same = origin is not None and content_digest(origin, False).endswith(source)
    except HarnessError:
        return "cannot be checked", f"the source of {name} is not here"
    if same:
        return "holds", f"the source of {name} is that recorded"
    return "cannot be checked", f"the source of {name} is another one here"


def _folder(backbone: str, digest: str) -> _Found:
    """Compare the folder of a backbone, if it is still there, with its hash."""
    name, origin = short_name(backbone), origin_of(backbone)
    try:
        same = origin is not None and content_digest(origin, True) == digest
    except HarnessError:
        return "cannot be checked", f"the weights of {name}: the folder is not here"
    if same:
        return "holds", f"the weights of {name} are those in its folder"
    return "cannot be checked", f"the weights of {name}: another content is in the folder here"


def image_items(record: StudyRecord, dataset: Dataset, root: Path | None) -> Iterator[VerifiedItem]:
    """Compare the images in a folder with the hashes of the manifest. root: None where there is no folder."""
    what, count = f"{record.name}, {record.study_id}", len(dataset.table)
    if root is None:
        yield VerifiedItem(
            "images", what, "cannot be checked", f"the hashes of {count:,} images: give their folder with --data"
        )
        return
    files = replace(dataset, root=root).files
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(hash_of_file, files))
    lost = [image for image, found in zip(dataset.table["image"], hashes, strict=True) if found is None]
    other = [
        image
        for image, found, expected in zip(dataset.table["image"], hashes, dataset.table["sha256"], strict=True)
        if found not in (None, expected)
    ]
    if len(lost) == count:
        yield VerifiedItem("images", what, "cannot be checked", f"none of its {count:,} images is in {root}")
        return
    if other:
        yield VerifiedItem(
            "images",
            what,
            "differs",
            f"{first_of(other, MAX_NAMED)} changed since the study was run, of {count:,}, in {root}",
        )
    if lost:
        yield VerifiedItem("images", what, "differs", f"{first_of(lost, MAX_NAMED)} missing in {root}, of {count:,}")
    if not lost and not other:
        yield VerifiedItem("images", what, "holds", f"{count:,} images in {root} have the hashes of the manifest")
