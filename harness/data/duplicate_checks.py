"""The checks of the audit for identical and nearly identical images."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from harness.data.dataset import ALIKE, Dataset, Rows
from harness.data.decode import Progress
from harness.data.duplicates import HASHED_SIZE, MAX_COMPARISONS, NearDuplicates, exact_groups, near_groups
from harness.data.finding import AuditFinding, Severity
from harness.data.folds import Fold
from harness.data.grays import is_blank
from harness.data.orientations import WAYS
from harness.data.survey import Survey
from harness.study.number_words import is_are, number_of, verb


def exact_duplicates(dataset: Dataset, grouped: bool) -> Iterator[AuditFinding]:
    table, groups = dataset.table, exact_groups(dataset.table)
    if not groups:
        return
    images, redundant = sum(map(len, groups)), sum(len(rows) - 1 for rows in groups)
    spread = {column: [rows for rows in groups if table.loc[rows, column].nunique() > 1] for column in _ACROSS}
    within = {split: int(sum((table.loc[rows, "split"] == split).all() for rows in groups)) for split in dataset.splits}
    facts = {"groups": len(groups), "images": images, "redundant": redundant, "within": within}
    folds = "folds keep them together" if grouped else "folds may split them"
    groups_words = number_of(len(groups), "group of identical files")
    text = f"{groups_words} ({images} images, {redundant} redundant); {folds}"
    yield AuditFinding(
        "duplicates", "note", text, facts | {"across": {_ACROSS[c][1]: len(g) for c, g in spread.items()}}
    )
    for column, (name, what, severity) in _ACROSS.items():
        if spread[column] and (column != "patient" or dataset.patient_rule is not None):
            count = len(spread[column])
            words = f"{number_of(count, 'group of identical files')} {is_are(count)} in several {what}, such as"
            yield _images(dataset, name, severity, words, spread[column])


_ACROSS: dict[str, tuple[str, str, Severity]] = {
    "split": ("duplicate-across-splits", "splits", "error"),
    "label": ("label-conflict", "classes", "error"),
    "patient": ("duplicate-across-patients", "patients", "warning"),
}


def near_duplicates(
    dataset: Dataset, folds: list[Fold], seen: Survey, files: pd.DataFrame, progress: Progress
) -> Iterator[AuditFinding]:
    """Find groups of nearly identical images, in all WAYS; of identical files only the first is compared."""
    blank, copies = is_blank(seen), dataset.table["sha256"].duplicated().to_numpy()
    rows = np.flatnonzero(~blank & ~copies)
    near = near_groups(seen.hashes[rows], progress)
    sizes = np.unique(near.groups, return_counts=True)[1]
    groups, images = int((sizes > 1).sum()), int(sizes[sizes > 1].sum())
    small = int((files[["width", "height"]].min(axis=1) < HASHED_SIZE).sum())
    ways = dict(Counter(WAYS[pair.way] for pair in near.pairs if pair.way))
    of = ", ".join([f"{images:,} images", *(f"{count:,} {way}" for way, count in ways.items())])
    text = number_of(groups, "group of nearly identical images") + (f" ({of})" if groups else "")
    if blank.any():
        count = int(blank.sum())
        text += f"; {number_of(count, 'blank image')} {verb(count, 'was', 'were')} not compared"
    if small:
        images_words = f"{number_of(small, 'image')} {is_are(small)} smaller than {HASHED_SIZE} px"
        text += f"; {images_words}: recompressed copies of {verb(small, 'it', 'them')} may be missed"
    if not near.complete:
        text += f"; each of many similar images was compared with the next {MAX_COMPARISONS:,} only"
    facts = {"groups": groups, "images": images, "ways": ways}
    facts |= {"blank": int(blank.sum()), "small": small, "complete": near.complete}
    yield AuditFinding("near-duplicates", "note", text, facts)
    yield from _near_across(dataset, rows, near)
    of_all = -1 - np.arange(len(dataset.table))  # each image that was not compared in a group of its own
    of_all[rows] = near.groups
    yield from _near_across_folds(folds, of_all)


def _near_across(dataset: Dataset, rows: Rows, near: NearDuplicates) -> Iterator[AuditFinding]:
    """Find the groups whose images differ in split, label or patient. rows: of the images that were compared."""
    for column, (name, severity) in _NEAR_ACROSS.items():
        values = dataset.table[column].to_numpy()[rows]
        found = {int(near.groups[pair.row]): pair for pair in near.pairs if values[pair.row] != values[pair.other]}
        if not found:
            continue
        count = len(found)
        differ = f"{verb(count, 'differs', 'differ')} in {column}"
        if column == "patient":
            known = dataset.patient_rule is not None
            whose = f"{is_are(count)} of several patients" if known else "of unknown patients"
            differ = f"{whose}: folds {'keep them together' if ALIKE in dataset.table else 'may split them'}"
        words = f"{number_of(count, 'group of nearly identical images')} {differ}, such as"
        pairs = list(found.values())
        finding = _images(dataset, name, severity, words, [[int(rows[p.row]), int(rows[p.other])] for p in pairs])
        ways = [WAYS[pair.way] for pair in pairs]
        facts = finding.facts | {"ways": ways[:20]}
        yield replace(finding, text=", ".join(filter(None, (finding.text, ways[0]))), facts=facts)


def _near_across_folds(folds: list[Fold], groups: Rows) -> Iterator[AuditFinding]:
    """Count the validation images with a nearly identical one in training. groups: of every image, [n]."""
    torn = [int(np.isin(groups[fold.validation], groups[fold.train]).sum()) for fold in folds]
    validated = sum(len(fold.validation) for fold in folds)
    if any(torn):
        text = (
            f"{sum(torn):,} of {validated:,} validation images have a nearly identical image in training, in the folds"
            " of this study; `folds: {duplicates: together}` keeps such images in one fold"
        )
        facts = {"count": sum(torn), "of": validated}
        yield AuditFinding("near-duplicate-across-folds", "warning", text, facts)


_NEAR_ACROSS: dict[str, tuple[str, Severity]] = {
    "split": ("near-duplicate-across-splits", "error"),
    "label": ("near-duplicate-across-labels", "warning"),
    "patient": ("near-duplicate-across-patients", "warning"),
}


def _images(dataset: Dataset, name: str, severity: Severity, words: str, groups: list[list[int]]) -> AuditFinding:
    """The finding about groups of images; its text names the first group."""
    named = [dataset.table.loc[rows, "image"].tolist() for rows in groups]
    return AuditFinding(
        name, severity, f"{words} {' = '.join(named[0][:3])}", {"count": len(groups), "first": named[:20]}
    )
