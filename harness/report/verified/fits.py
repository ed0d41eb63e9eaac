"""Check stored fits: metrics follow from predictions, and predictions are of the images that the study planned."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.data.dataset import Dataset, Rows, set_split
from harness.data.inputs import Workspace
from harness.data.train_share import share_of, share_seed
from harness.errors import described
from harness.report.verified.differences import RELATIVE_TOLERANCE, FileComparison
from harness.report.verified.verified_item import VerifiedItem
from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.store.ledger import set_file
from harness.store.results import FoldRecord
from harness.study.plan import Job

NO_PROBABILITIES = "labels that are no class, or probabilities that do not add up to 1"
SUM_TOLERANCE = 1e-5  # of the probabilities of an image, which networks compute in 32 bits


@dataclass(frozen=True)
class Planned:
    """A fit that the record of a study plans. workspace: the study, with the folds that the fit is one of."""

    job: Job
    workspace: Workspace


def planned_fits(workspace: Workspace) -> dict[str, Planned]:
    """The fits of a study by their ids, which are computed again from its settings, manifest and folds."""
    state, found = workspace.reader.read(provisional=True), dict[str, Planned]()
    for nested, folds in zip(state.nested, workspace.inputs.nested, strict=True):
        for outer, of in zip(nested.outer, folds.folds, strict=True):
            inner, whole = (
                replace(workspace, inputs=replace(workspace.inputs, folds=f)) for f in (of.inner, folds.outer)
            )
            found |= {job.id: Planned(job, inner) for fit in outer.inner for job in fit.jobs}
            found |= {job.id: Planned(job, whole) for fit in outer.fits[len(outer.inner) :] for job in fit.jobs}
    planned = [*state.scenarios, *(fit for test in state.tests for fit in test.with_refits)]
    return found | {job.id: Planned(job, workspace) for fit in planned for job in fit.jobs}


def fit_item(folder: Path, subject: str, job_id: str, planned: Planned | None) -> VerifiedItem:
    """Check the result and the predictions in the folder of a job. planned: None where no record plans it."""
    try:
        record = FoldRecord.from_json(json.loads((folder / "result.json").read_text(encoding="utf-8")))
        frame = pd.read_parquet(folder / "predictions.parquet")
        counts = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        found = _compare_metrics(record, frame, planned)
        found.differences += _contradictions(record, counts, job_id)
        if planned is not None:
            found.differences += _unplanned(planned, record, frame)
            found.differences += _further_sets(planned, folder)
    except Exception as error:
        return VerifiedItem("fits", subject, "differs", f"cannot be read: {described(error)}")
    if found.differences:
        return VerifiedItem("fits", subject, "differs", "; ".join(found.differences))
    digits = f", {found.rounded} of them to {RELATIVE_TOLERANCE:g}" if found.rounded else ""
    words = f"{found.numbers} metrics follow from the predictions{digits}"
    images = (
        "the images are those of its fold" if planned and planned.job.fold is not None else "the images are as planned"
    )
    return VerifiedItem("fits", subject, "holds", f"{words}; {images if planned else 'no study record plans it'}")


def _compare_metrics(record: FoldRecord, frame: pd.DataFrame, planned: Planned | None) -> FileComparison:
    """Compare the stored metrics with those of the predictions.

    The positive class is that of the study; without a record the one, or none, with which most metrics agree.
    """
    classes, probabilities, labels = arrays(frame)
    if _is_no_table_of_probabilities(frame):
        return FileComparison([f"predictions.parquet: {NO_PROBABILITIES}"])
    positives = [None, *range(len(classes))]
    if planned is not None:
        name = planned.workspace.inputs.dataset.positive
        positives = [classes.index(name) if name in classes else None]
    each = [_compared(record, classification_metrics(probabilities, labels, positive)) for positive in positives]
    return min(each, key=lambda found: len(found.differences))


def _is_no_table_of_probabilities(frame: pd.DataFrame) -> bool:
    _, probabilities, labels = arrays(frame)
    wrong = np.abs(probabilities.sum(axis=1) - 1).max(initial=0)
    return bool((labels < 0).any() or not wrong < SUM_TOLERANCE or probabilities.min(initial=0) < 0)


def _further_sets(planned: Planned, folder: Path) -> Iterator[str]:
    """What differs in the predictions of the test sets beside the leading one, whose numbers the report computes."""
    job, dataset = planned.job, planned.workspace.inputs.dataset
    for name in dataset.further_sets if job.evaluate == "test" else ():
        file = set_file(name)
        frame = pd.read_parquet(folder / file)
        if _is_no_table_of_probabilities(frame):
            yield f"{file}: {NO_PROBABILITIES}"
        yield from _other_rows(job, frame, file)
        yield from _other_images(dataset, dataset.rows(set_split(name)), frame, False, file)


def _other_rows(job: Job, frame: pd.DataFrame, file: str = "predictions.parquet") -> Iterator[str]:
    of_fold = frame["fold"].isna() if job.fold is None else frame["fold"] == job.fold
    if (frame["repeat"] != job.repeat).any() or not of_fold.all():
        yield f"{file}: rows of another fold or repeat"


def _compared(record: FoldRecord, again: Mapping[str, float]) -> FileComparison:
    found, scored = FileComparison([]), {k: v for k, v in record.metrics.items() if not k.startswith("train/")}
    for name, value in scored.items():
        found.number(f"result.json, {name}", value, again.get(name.partition("/")[2], float("nan")))
    return found


def _contradictions(record: FoldRecord, counts: Any, job_id: str) -> Iterator[str]:
    """What the files of one job say differently."""
    if record.job_id != job_id:
        yield f"result.json is of job {record.job_id}"
    if counts != record.class_counts:
        yield "classes.json and result.json count other images"
    selected = record.history[record.selected_epoch - 1]
    for name, value in record.metrics.items():
        if name.startswith("train/") and selected.get(name) != value:
            yield f"result.json: {name} is {value}, and {selected.get(name)} in epoch {record.selected_epoch}"


def _unplanned(planned: Planned, record: FoldRecord, frame: pd.DataFrame) -> Iterator[str]:
    """What differs from what the study plans for this job: its fold, its images, their classes and patients."""
    job, inputs = planned.job, planned.workspace.inputs
    dataset, leaks = inputs.dataset, job.scenario.settings.leaks
    train, scored = dataset.rows("train"), dataset.rows("test")
    if job.fold is not None:
        fold = inputs.fold(job.repeat, job.fold)
        train, scored = fold.train, fold.validation if job.evaluate == "val" else scored
    if record.facts.fold_digest not in (None, job.rows):
        yield f"result.json: fitted on the fold {record.facts.fold_digest}, and {job.rows} is planned"
    share, seed = job.scenario.settings.train_share, share_seed(planned.workspace.study.seed, job)
    if not leaks and record.class_counts["before"] != dataset.counts(share_of(dataset, train, share, seed)):
        yield "classes.json: other numbers of training images than the fold has"
    if share < 1 and record.class_counts.get("fold") != dataset.counts(train):
        yield "classes.json: other numbers of images before the cut than the fold has"
    yield from _other_rows(job, frame)
    yield from _other_images(dataset, scored, frame, leaks)


def _other_images(
    dataset: Dataset, scored: Rows, frame: pd.DataFrame, leaks: bool, file: str = "predictions.parquet"
) -> Iterator[str]:
    """Compare the images of predictions with the rows of the manifest; where a fit leaks, copies stand among them."""
    columns = ["image", "patient", "label"]
    expected = dataset.table.loc[scored, columns].reset_index(drop=True)
    found = frame[columns]
    if leaks:
        known = set(dataset.table[columns].itertuples(index=False, name=None))
        found = found.drop_duplicates("image")
        if (
            not set(expected["image"]) <= set(found["image"])
            or not set(found.itertuples(index=False, name=None)) <= known
        ):
            yield "predictions.parquet: not the images that the fold validates on"
        return
    if list(found["image"]) != list(expected["image"]):
        extra, lost = (len(a - b) for a, b in _both_ways(set(found["image"]), set(expected["image"])))
        yield f"{file}: not the images that are scored ({extra} others, {lost} missing)"
    elif not found.astype(str).equals(expected.astype(str)):
        yield f"{file}: other classes or patients than those of the manifest"


def _both_ways(found: set[str], expected: set[str]) -> Iterator[tuple[set[str], set[str]]]:
    yield found, expected
    yield expected, found
