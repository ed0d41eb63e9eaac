"""The checks of the audit, one after the other."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from harness.data.confounders import confounder_findings
from harness.data.dataset import Dataset, Rows
from harness.data.decode import Counting, Progress
from harness.data.duplicates import HASHED_SIZE, MAX_COMPARISONS, exact_groups, near_groups
from harness.data.finding import AuditFinding, Severity
from harness.data.folds import Fold
from harness.data.grays import gray_findings, is_blank
from harness.data.headers import file_findings, headers
from harness.data.leaks import oversampling_leak, patient_leak, ungrouped_folds
from harness.data.patient_checks import by_other_rule, by_study_rule
from harness.data.patient_counts import UNKNOWN
from harness.data.pixels import open_pixels, pixel_cache
from harness.data.set_checks import priors, resplit, shifts, tested_sets
from harness.data.survey import Survey, survey
from harness.data.units import chosen_unit, unit_dataset, unit_validation
from harness.stats.proportions import wilson
from harness.store import Store
from harness.study import Study

MAX_AUDITED = 10_000  # images per split for the checks that fit a classifier; more do not change the estimate
MAX_CONFOUNDED = 1_000  # training images for the confounders: each column of the metadata takes several classifiers
MAX_RECALL_HALF_WIDTH = 0.1  # of the confidence interval; wider ones mean that the validation set is too small


def findings(
    study: Study, dataset: Dataset, folds: list[Fold], store: Store, counting: Counting
) -> Iterator[AuditFinding]:
    """Run all checks and yield their findings."""
    size = max(study.data.image_size, HASHED_SIZE)  # fewer pixels are too few to distinguish images
    whole = replace(dataset, pixel_rules=replace(dataset.pixel_rules, resize="squash"))  # nothing cut off or added
    pixels = open_pixels(pixel_cache(whole, size, store, partial(counting, f"images decoded at {size} px")))
    seen = survey(pixels, dataset.labels, partial(counting, "images inspected"))
    files = headers(dataset, partial(counting, "image files inspected"))
    yield from _counts(dataset)
    yield from _skipped(dataset)
    yield from _exact_duplicates(dataset, study.folds.grouped)
    yield from _near_duplicates(dataset, seen, files, partial(counting, "images compared"))
    yield from by_study_rule(dataset, study.folds.k)
    yield from (by_other_rule(dataset, rule) for rule in study.audit.patients)
    for tested in tested_sets(dataset):
        yield from priors(tested)
    yield from file_findings(dataset, files)
    yield from gray_findings(dataset, seen, files["mode"])
    rows = sample_patients(dataset, MAX_AUDITED)
    sample = replace(dataset, table=dataset.table.loc[rows].reset_index(drop=True))
    thumbnails = seen.thumbnails[rows]
    for tested in tested_sets(sample):
        yield from shifts(tested, thumbnails[tested.rows])
    for tested in tested_sets(sample):
        yield from resplit(tested, thumbnails[tested.rows])
    if dataset.metadata:
        yield from _confounders(study, dataset, seen)
    yield from _small_validation(study, dataset, folds)
    yield from _leaks(study, dataset, folds)


def _counts(dataset: Dataset) -> Iterator[AuditFinding]:
    for (split, label), rows in dataset.table.groupby(["split", "label"], sort=False):
        facts: dict[str, Any] = {"split": split, "class": label, "images": len(rows), "patients": None}
        words = UNKNOWN
        if dataset.patients_known(str(split)):
            sizes = rows["patient"].value_counts()
            words = f"{len(sizes):,} patient{'s' * (len(sizes) != 1)}"
            facts |= {
                "patients": len(sizes), "most_images_of_a_patient": int(sizes.max()), "patient": str(sizes.index[0]),
                "patients_with_one_image": int((sizes == 1).sum()),
            }  # fmt: skip
        text = f"{split} {label}: {len(rows):,} images{' of ' if facts['patients'] else ', '}{words}"
        yield AuditFinding("counts", "note", text, facts)


def left_out(dataset: Dataset) -> Iterator[AuditFinding]:
    """Yield a finding for each kind of file in the image folder that is not read."""
    for left in dataset.left_out:
        yield AuditFinding("left-out", "warning" if left.lost else "note", str(left), asdict(left))


def _skipped(dataset: Dataset) -> Iterator[AuditFinding]:
    skipped = dataset.skipped
    if skipped and skipped.reasons:
        facts = {"count": len(skipped.reasons), "reasons": dict(skipped.reasons)}
        yield AuditFinding("bad-images", "warning", str(skipped), facts)


def _exact_duplicates(dataset: Dataset, grouped: bool) -> Iterator[AuditFinding]:
    table, groups = dataset.table, exact_groups(dataset.table)
    if not groups:
        return
    images, redundant = sum(map(len, groups)), sum(len(rows) - 1 for rows in groups)
    spread = {column: [rows for rows in groups if table.loc[rows, column].nunique() > 1] for column in _ACROSS}
    within = {split: int(sum((table.loc[rows, "split"] == split).all() for rows in groups)) for split in dataset.splits}
    facts = {"groups": len(groups), "images": images, "redundant": redundant, "within": within}
    folds = "folds keep them together" if grouped else "folds may split them"
    text = f"{len(groups)} groups of identical files ({images} images, {redundant} redundant); {folds}"
    yield AuditFinding(
        "duplicates", "note", text, facts | {"across": {_ACROSS[c][1]: len(g) for c, g in spread.items()}}
    )
    for column, (name, what, severity) in _ACROSS.items():
        if spread[column] and (column != "patient" or dataset.patient_rule is not None):
            words = f"{len(spread[column])} groups of identical files are in several {what}, such as"
            yield _images(dataset, name, severity, words, spread[column])


_ACROSS: dict[str, tuple[str, str, Severity]] = {
    "split": ("duplicate-across-splits", "splits", "error"),
    "label": ("label-conflict", "classes", "error"),
    "patient": ("duplicate-across-patients", "patients", "warning"),
}


def _near_duplicates(dataset: Dataset, seen: Survey, files: pd.DataFrame, progress: Progress) -> Iterator[AuditFinding]:
    """Find groups of nearly identical images; of identical files only the first is compared."""
    blank, copies = is_blank(seen), dataset.table["sha256"].duplicated().to_numpy()
    rows = np.flatnonzero(~blank & ~copies)
    near = near_groups(seen.hashes[rows], progress)
    sizes = np.unique(near.groups, return_counts=True)[1]
    groups, images = int((sizes > 1).sum()), int(sizes[sizes > 1].sum())
    small = int((files[["width", "height"]].min(axis=1) < HASHED_SIZE).sum())
    text = f"{groups} groups of nearly identical images" + (f" ({images:,} images)" if groups else "")
    if blank.any():
        text += f"; {blank.sum():,} blank images were not compared"
    if small:
        text += f"; {small:,} images are smaller than {HASHED_SIZE} px: recompressed copies of them may be missed"
    if not near.complete:
        text += f"; each of many similar images was compared with the next {MAX_COMPARISONS:,} only"
    facts = {"groups": groups, "images": images, "blank": int(blank.sum()), "small": small, "complete": near.complete}
    yield AuditFinding("near-duplicates", "note", text, facts)
    for column, (name, severity) in _NEAR_ACROSS.items():
        values = dataset.table[column].to_numpy()[rows]
        found = {int(near.groups[a]): [int(rows[a]), int(rows[b])] for a, b in near.pairs if values[a] != values[b]}
        if found:
            differ = f"differ in {column}"
            if column == "patient":
                known = dataset.patient_rule is not None
                differ = f"{'are of several patients' if known else 'of unknown patients'}: folds may split them"
            words = f"{len(found)} groups of nearly identical images {differ}, such as"
            yield _images(dataset, name, severity, words, list(found.values()))


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


def sample_patients(dataset: Dataset, limit: int) -> Rows:
    """The rows of randomly drawn patients, with all their images, up to `limit` images per split."""
    rng, sampled = np.random.default_rng(0), []
    for split in dataset.splits:
        rows = dataset.rows(split)
        names, group, sizes = np.unique(dataset.groups[rows], return_inverse=True, return_counts=True)
        order = rng.permutation(len(names))
        chosen = order[np.cumsum(sizes[order]) <= limit]
        sampled.append(rows[np.isin(group, chosen)])
    return np.concatenate(sampled)


def _confounders(study: Study, dataset: Dataset, seen: Survey) -> Iterator[AuditFinding]:
    rows = np.intersect1d(sample_patients(dataset, MAX_CONFOUNDED), dataset.rows("train"))
    sample = replace(dataset, table=dataset.table.loc[rows].reset_index(drop=True))
    yield from confounder_findings(study, sample, seen.thumbnails[rows])


def _small_validation(study: Study, dataset: Dataset, folds: list[Fold]) -> Iterator[AuditFinding]:
    unit = chosen_unit(study, dataset)
    of_unit, validated = unit_dataset(dataset, unit), unit_validation(dataset, folds, unit)
    for name in dataset.classes:
        least = min(of_unit.counts(rows)[name] for rows in validated)
        low, high = wilson(round(0.9 * least), least)
        if (high - low) / 2 > MAX_RECALL_HALF_WIDTH:
            known = f"a recall of 0.9 is known to ±{(high - low) / 2:.2f}"
            text = f"a fold validates on {least} {unit.plural} of {name}: {known}"
            yield AuditFinding("small-validation", "warning", text, {"class": name, unit.plural: least})


def _leaks(study: Study, dataset: Dataset, folds: list[Fold]) -> Iterator[AuditFinding]:
    k, seed = len({fold.fold for fold in folds}), study.folds.seed
    if dataset.patient_rule is not None:
        here = patient_leak(dataset, folds)
        severity: Severity = "warning" if here.share else "note"
        text = f"{here.share:.0%} of validation images have their patient in training, in the folds of this study"
        yield AuditFinding("patient-across-folds", severity, text, asdict(here))
        plain = patient_leak(dataset, ungrouped_folds(dataset, k, seed))
        yield AuditFinding("ungrouped-would-leak", "note", f"{plain.share:.0%} would in ungrouped folds", asdict(plain))
    over = oversampling_leak(dataset, folds, k, seed)
    words = ", ".join(f"{share:.0%} of {name}" for name, share in over.by_class.items())
    text = f"oversampling before the split, in scenarios that set it, copies validation rows into training: {words}"
    yield AuditFinding("oversampling-would-leak", "note", text, asdict(over))
