"""The manifest: every image of a study with its class, patient, split and hash."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

import pandas as pd

from harness.data.dataset import SPLITS, Dataset, Skipped
from harness.data.decode import DECODER, decoded, reason, unreadable
from harness.data.folder import read_folder, unreadable_file, visible_name
from harness.data.patients import patients
from harness.data.subset import limited
from harness.errors import DataError, LeakageError
from harness.study import Study
from harness.study.identity import digest
from harness.study.pixel_rules import PixelRules
from harness.study.study import Data

KnownBad = Callable[[str], Mapping[str, str] | None]


def read_dataset(
    root: Path, spec: Data, accepted: Collection[str] = (), known_bad: KnownBad = lambda _: None
) -> Dataset:
    """Read the image folder `root` as the study file specifies it.

    accepted: the names of audit errors that the study file accepts. known_bad: returns the bad images of an earlier run
    over the same files, by their hash; where it returns None and bad images are to be skipped, every image is decoded.

    Raises DataError and LeakageError.
    """
    listing = read_folder(root, spec.val)
    rows = [_Row(root / found.image, found.image, found.split, found.label) for found in listing.images]
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(_hashed, rows))
    skipped = _skipped(rows, spec.pixel_rules, known_bad) if spec.on_bad_image == "skip" else None
    bad = skipped.reasons if skipped else {row.image: row.bad for row in rows if row.bad}
    if bad and not skipped:
        raise DataError(unreadable({str(root / image): why for image, why in bad.items()}, len(rows)))
    good = [row for row in rows if row.image not in bad]
    _check_remaining(rows, good)
    images = [row.image for row in good]
    rule = spec.patient_rule
    table = pd.DataFrame(
        {
            "image": images,
            "split": [row.split for row in good],
            "label": [row.label for row in good],
            "patient": patients(images, rule, spec.patient_scope),
            "sha256": [row.sha256 for row in good],
            "size": [row.size for row in good],
        }
    )
    table = table.sort_values(["split", "image"], ascending=[False, True], ignore_index=True)
    classes = tuple(sorted(set(table.loc[table["split"] == "train", "label"])))
    positive, synthetic = _positive(spec, classes), spec.source == "phantom"
    dataset = Dataset(root, table, classes, positive, synthetic, skipped, rule, listing.left_out, spec.pixel_rules)
    _check_classes(dataset)
    _check_leaks(dataset, accepted)
    return limited(dataset, spec.limit) if spec.limit else dataset


@dataclass(frozen=True)
class _Row:
    """A file with the extension of an image. bad: why it cannot be used, if that is known without decoding it."""

    path: Path
    image: str
    split: str
    label: str
    sha256: str = ""
    size: int = 0
    bad: str = ""

    @property
    def homes(self) -> list[Path]:
        """The folders that a link may point into: the image folder and the class folder, which may be a link itself."""
        depth = self.image.count("/")
        return [self.path.parents[depth].resolve(), self.path.parents[depth - 2].resolve()]


def _hashed(row: _Row) -> _Row:
    """Add the hash of the file to the row, or the reason why the file is not read."""
    try:
        if row.path.is_symlink() and not any(row.path.resolve().is_relative_to(home) for home in row.homes):
            return replace(row, bad="a link out of the image folder")
        if not row.path.is_file():
            return replace(row, bad="not a file")
        content = row.path.read_bytes()
    except PermissionError as error:  # never skipped: for another user it is an image
        raise unreadable_file(row.path, reason(error)) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        return replace(row, bad=reason(error))
    return replace(row, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _skipped(rows: list[_Row], rules: PixelRules, known_bad: KnownBad) -> Skipped:
    """Find the bad images."""
    files_digest = digest([DECODER, [[row.image, row.bad or row.sha256] for row in rows], *rules.in_keys])
    known = known_bad(files_digest)
    if known is None:
        readable = [row for row in rows if not row.bad]
        results = decoded([row.path for row in readable], [row.sha256 for row in readable], 8, rules)
        reasons = {row.image: result for row, result in zip(readable, results, strict=True) if isinstance(result, str)}
        known = {row.image: row.bad or reasons[row.image] for row in rows if row.bad or row.image in reasons}
    return Skipped(files_digest, len(rows), known)


def _check_remaining(rows: list[_Row], good: list[_Row]) -> None:
    """Raise DataError where a whole class of a split was left out."""
    lost = {(row.split, row.label) for row in rows} - {(row.split, row.label) for row in good}
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
        raise DataError(f"{dataset.root}/train has the classes {list(dataset.classes)}; at least two are needed")
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


def _check_leaks(dataset: Dataset, accepted: Collection[str]) -> None:
    """Raise LeakageError where a patient or an identical file is in train and in test."""
    for column, what, finding in (
        ("patient", "patients", "patient-across-splits"),
        ("sha256", "identical files", "duplicate-across-splits"),
    ):
        by_split = {split: dataset.table[dataset.table["split"] == split] for split in SPLITS}
        shared = set(by_split["train"][column]) & set(by_split["test"][column])
        if shared and finding not in accepted:
            first = {s: rows.loc[rows[column].isin(shared), "image"].iloc[0] for s, rows in by_split.items()}
            raise LeakageError(
                f"{len(shared)} {what} are in train/ and in test/, such as {first['train']} and {first['test']};"
                f" remove them from one side, fix data.patient, or accept it by name: audit: {{accept: [{finding}]}}"
            )


def unread_lines(study: Study, dataset: Dataset) -> list[str]:
    """A line for each kind of file that a study does not read, and one if its test set is missing."""
    lines = [str(left) for left in dataset.left_out]
    if study.test is not None and not len(dataset.rows("test")):
        lines.append("no test set: there is no folder test/, so `test:` scores nothing")
    return lines
