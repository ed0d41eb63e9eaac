"""The checks of the audit, one after the other."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from harness.data.confounders import confounder_findings
from harness.data.dataset import Dataset, Rows
from harness.data.decode import Counting
from harness.data.duplicate_checks import exact_duplicates, near_duplicates
from harness.data.duplicates import HASHED_SIZE
from harness.data.finding import AuditFinding, Severity
from harness.data.folds import Fold
from harness.data.grays import gray_findings
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
from harness.study.number_words import number_of

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
    yield from exact_duplicates(dataset, study.folds.grouped)
    yield from near_duplicates(dataset, folds, seen, files, partial(counting, "images compared"))
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
            words = number_of(len(sizes), "patient")
            facts |= {
                "patients": len(sizes), "most_images_of_a_patient": int(sizes.max()), "patient": str(sizes.index[0]),
                "patients_with_one_image": int((sizes == 1).sum()),
            }  # fmt: skip
        text = f"{split} {label}: {number_of(len(rows), 'image')}{' of ' if facts['patients'] else ', '}{words}"
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
            text = f"a fold validates on {number_of(least, unit.name)} of {name}: {known}"
            yield AuditFinding("small-validation", "warning", text, {"class": name, unit.plural: least})


def _leaks(study: Study, dataset: Dataset, folds: list[Fold]) -> Iterator[AuditFinding]:
    k, seed = len({fold.fold for fold in folds}), study.folds.seed
    if dataset.patient_rule is not None:
        here = patient_leak(dataset, folds)
        severity: Severity = "warning" if here.share else "note"
        text = f"{here.share:.0%} of validation images have their patient in training, in the folds of this study"
        yield AuditFinding("patient-across-folds", severity, text, asdict(here))
        plain = patient_leak(dataset, ungrouped_folds(dataset, k, seed))
        text = f"{plain.share:.0%} of validation images would have it in training, if folds were drawn without groups"
        yield AuditFinding("ungrouped-would-leak", "note", text, asdict(plain))
    over = oversampling_leak(dataset, folds, k, seed)
    words = ", ".join(f"{share:.0%} of {name}" for name, share in over.by_class.items())
    text = f"oversampling before the split, in scenarios that set it, copies validation rows into training: {words}"
    yield AuditFinding("oversampling-would-leak", "note", text, asdict(over))
