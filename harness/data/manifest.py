"""The manifest: every image of a study with its class, patient, split and hash."""

from collections.abc import Callable, Collection, Mapping
from itertools import repeat
from pathlib import Path
from unicodedata import normalize

import pandas as pd

from harness.data.dataset import SPLITS, Dataset, Skipped, place_of
from harness.data.decode import DECODER, decoded, unreadable
from harness.data.dicom import decoder_versions
from harness.data.dicom_tags import with_tags
from harness.data.folder import read_folder
from harness.data.hashes import hashed
from harness.data.held_out import with_test_set
from harness.data.listing import Listing, renamed, visible_name
from harness.data.patients import patients
from harness.data.subset import limited
from harness.data.table import read_table
from harness.errors import DataError, LeakageError
from harness.study.data_block import Data
from harness.study.identity import digest
from harness.study.pixel_rules import PixelRules

KnownBad = Callable[[str], Mapping[str, str] | None]


def read_dataset(
    root: Path, spec: Data, accepted: Collection[str] = (), known_bad: KnownBad = lambda _: None
) -> Dataset:
    """Read the image folder `root` as the study file specifies it.

    accepted: the names of audit errors that the study file accepts. known_bad: returns the bad images of an earlier run
    over the same files, by their hash; where it returns None and bad images are to be skipped, every image is decoded.

    Raises DataError and LeakageError.
    """
    listing = _listing(root, spec)
    depth = None if spec.links == "follow" else listing.depth
    found = listing.images.join(hashed(root, listing.images["image"].tolist(), depth))
    skipped = _skipped(root, found, spec.pixel_rules, known_bad) if spec.on_bad_image == "skip" else None
    if skipped is None and (found["bad"] != "").any():
        raise DataError(unreadable(_named_bad(root, found), len(found)))
    good = found[~found["image"].isin(skipped.reasons)] if skipped else found
    _check_remaining(found, good)
    good = with_tags(root, good, spec.dicom_metadata)
    if "patient" not in good:
        good = good.assign(patient=patients(good, spec.patient_rule, spec.patient_scope))
    elif spec.patient_scope == "class":
        good = good.assign(patient=good["label"] + "/" + good["patient"])
    if spec.test is not None:
        good = with_test_set(good, spec.test, spec.patient_source is not None)
    first = ["image", "split", "label", "patient", "sha256", "size"]
    further = [name for name in good if name not in (*first, "bad")]
    table = pd.DataFrame({name: good[name].tolist() for name in (*first, *further)})  # text as pandas has it
    table = table.sort_values(["split", "image"], ascending=[False, True], ignore_index=True)
    classes = tuple(sorted(set(table.loc[table["split"] == "train", "label"])))
    positive, synthetic = _positive(spec, classes), spec.source == "phantom"
    dataset = Dataset(
        root,
        table,
        classes,
        positive,
        synthetic,
        skipped,
        spec.patient_source,
        listing.left_out,
        spec.pixel_rules,
        tuple(spec.metadata),
    )
    _check_classes(dataset)
    _check_leaks(dataset, accepted, spec.test is not None)
    return limited(dataset, spec.limit) if spec.limit else dataset


def _listing(root: Path, spec: Data) -> Listing:
    if spec.source == "table":
        return read_table(spec, root)
    listing = read_folder(root, spec.val, spec.links == "follow")
    return listing if spec.labels is None else renamed(listing, spec.labels)


def _named_bad(root: Path, found: pd.DataFrame) -> dict[str, str]:
    """The reason for each file that is known to be bad, by its path, and its row where it is from a table."""
    bad = found[found["bad"] != ""]
    rows = (f"row {row}, " for row in bad["row"]) if "row" in bad else repeat("")
    return {f"{row}{root / image}": why for row, image, why in zip(rows, bad["image"], bad["bad"], strict=False)}


def _skipped(root: Path, found: pd.DataFrame, rules: PixelRules, known_bad: KnownBad) -> Skipped:
    """Find the bad images."""
    content = found["bad"].where(found["bad"] != "", found["sha256"])
    pairs, decoders = (
        [list(pair) for pair in zip(found["image"], content, strict=True)],
        decoder_versions(found["image"]),
    )
    files_digest = digest([DECODER, pairs, *rules.in_keys, *decoders])
    known = known_bad(files_digest)
    if known is None:
        readable = found[found["bad"] == ""]
        results = decoded([root / image for image in readable["image"]], readable["sha256"].tolist(), 8, rules)
        reasons = {name: what for name, what in zip(readable["image"], results, strict=True) if isinstance(what, str)}
        reasons |= {name: why for name, why in zip(found["image"], found["bad"], strict=True) if why}
        known = {name: reasons[name] for name in found["image"] if name in reasons}
    return Skipped(files_digest, len(found), known)


def _check_remaining(found: pd.DataFrame, good: pd.DataFrame) -> None:
    """Raise DataError where a whole class of a split was left out."""
    before, after = (each[["split", "label"]].drop_duplicates() for each in (found, good))
    lost = {*before.itertuples(index=False, name=None)} - {*after.itertuples(index=False, name=None)}
    for split, label in sorted(lost):
        raise DataError(f"no image of class {label} in {split}/ can be read; fix them, or remove the folder")


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
    if len(dataset.classes) < 2:
        raise DataError(f"the training images have the classes {list(dataset.classes)}; at least two are needed")
    tested = set(dataset.table.loc[dataset.table["split"] == "test", "label"])
    for label in sorted(tested - set(dataset.classes)):
        similar = [name for name in dataset.classes if visible_name(name).casefold() == visible_name(label).casefold()]
        if similar:
            raise DataError(
                f"train/ has the class {similar[0]!r} and test/ {label!r}, which differ only by spaces or case;"
                " give both folders the same name"
            )
    if tested - set(dataset.classes):
        raise DataError(f"test/ has classes that train/ lacks: {', '.join(sorted(tested - set(dataset.classes)))}")
    if tested and set(dataset.classes) - tested:
        raise DataError(f"test/ lacks classes of train/: {', '.join(sorted(set(dataset.classes) - tested))}")


def _check_leaks(dataset: Dataset, accepted: Collection[str], held_out: bool) -> None:
    """Raise LeakageError where a patient or an identical file is in train and in test.

    held_out: whether the test set was drawn from the training images.
    """
    mend = "write data.test: {by: patient}" if held_out else "remove them from one side, fix data.patient"
    for column, what, finding in (
        ("patient", "patients", "patient-across-splits"),
        ("sha256", "identical files", "duplicate-across-splits"),
    ):
        by_split = {split: dataset.table[dataset.table["split"] == split] for split in SPLITS}
        shared = set(by_split["train"][column]) & set(by_split["test"][column])
        if shared and finding not in accepted:
            first = {s: place_of(rows[rows[column].isin(shared)].iloc[0]) for s, rows in by_split.items()}
            raise LeakageError(
                f"{len(shared)} {what} are in train/ and in test/, such as {first['train']} and {first['test']};"
                f" {mend}, or accept it by name: audit: {{accept: [{finding}]}}"
            )
