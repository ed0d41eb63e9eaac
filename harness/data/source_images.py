"""Read the images of one source: what it lists, which of them are bad, and who their patients are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import pandas as pd

from harness.data.dataset import Skipped
from harness.data.decode import DECODER, HOW_TO_MEND, decoded, unreadable
from harness.data.dicom import decoder_versions
from harness.data.dicom_tags import patients_of_tag, with_tags
from harness.data.folder import read_all_folders, read_folder
from harness.data.hashes import hashed
from harness.data.left_out import LeftOut
from harness.data.listing import Listing, renamed
from harness.data.patients import patients
from harness.data.table import read_table
from harness.errors import DataError
from harness.study.data_block import DICOM_PREFIX, Data
from harness.study.identity import digest
from harness.study.pixel_rules import PixelRules

KnownBad = Callable[[str], Mapping[str, str] | None]


@dataclass(frozen=True)
class SourceImages:
    """The images of one source.

    table: the columns image, split, label, patient, sha256, size (bytes), bad (empty), and what else the source says.
    """

    table: pd.DataFrame
    left_out: tuple[LeftOut, ...]
    skipped: Skipped | None


def read_images(root: Path, spec: Data, known_bad: KnownBad, every_split: bool = False) -> SourceImages:
    """Read the images in `root` as `spec` says.

    known_bad: see read_dataset. every_split: of a folder read val/, too, and do without train/.
    Raises DataError.
    """
    listing = _listing(root, spec, every_split)
    depth = None if spec.links == "follow" else listing.depth
    found = listing.images.join(hashed(root, listing.images["image"].tolist(), depth))
    skipped = _skipped(root, found, spec.pixel_rules, known_bad) if spec.on_bad_image == "skip" else None
    if skipped is None and (found["bad"] != "").any():
        raise DataError(unreadable(_named_bad(root, found), len(found)) + HOW_TO_MEND)
    good = found[~found["image"].isin(skipped.reasons)] if skipped else found
    _check_remaining(found, good)
    good = with_tags(root, good, spec.dicom_metadata)
    return SourceImages(good.assign(patient=_patients(root, good, spec)), listing.left_out, skipped)


def _patients(root: Path, images: pd.DataFrame, spec: Data) -> list[str]:
    """The patient of each image: by the column of a table, a tag of DICOM files, or a rule."""
    rule = spec.patient_rule
    if "patient" in images:
        names = images["patient"].tolist()
    elif rule is not None and rule.startswith(DICOM_PREFIX):
        names = patients_of_tag(root, images, rule)
    else:
        return patients(images, rule, spec.patient_scope)
    in_class = spec.patient_scope == "class"
    return [f"{label}/{name}" for label, name in zip(images["label"], names, strict=True)] if in_class else names


def _listing(root: Path, spec: Data, every_split: bool) -> Listing:
    if spec.source == "table":
        return read_table(spec, root)
    follow = spec.links == "follow"
    listing = read_all_folders(root, follow) if every_split else read_folder(root, spec.val, follow)
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
