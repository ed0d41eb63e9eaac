"""A smaller dataset for a rehearsal: class-stratified, of whole patients."""

import random
from dataclasses import replace

import numpy as np

from harness.data.dataset import Dataset, Rows
from harness.errors import DataError


def limited(dataset: Dataset, limit: int) -> Dataset:
    """Reduce the dataset to at most `limit` images per split: whole patients, with the same class proportions.

    Raises DataError where a class would be left out.
    """
    chosen: list[int] = []
    for split in dataset.splits:
        rows = dataset.rows(split)
        share = min(1.0, limit / max(1, len(rows)))
        by_patient = _by_group(rows, dataset.groups[rows])
        for label, count in enumerate(dataset.counts(rows).values()):
            of_class = [patient for patient in by_patient if dataset.labels[patient[0]] == label]
            chosen += _whole_patients(of_class, int(count * share))
    table = dataset.table.loc[sorted(chosen)].reset_index(drop=True)
    left = set(table["image"])
    part = replace(dataset, table=table, corrected=tuple(each for each in dataset.corrected if each.image in left))
    for split in part.splits:
        missing = [name for name, count in part.counts(part.rows(split)).items() if not count]
        if missing and len(dataset.rows(split)):
            raise DataError(f"{limit} leaves {split}/ without {missing[0]}; use a larger number", ("data", "limit"))
    return part


def _by_group(rows: Rows, groups: Rows) -> list[list[int]]:
    """The rows of each group, in the order of the groups."""
    order = np.argsort(groups, kind="stable")
    ends = np.flatnonzero(np.diff(groups[order])) + 1
    return [part.tolist() for part in np.split(rows[order], ends)] if len(rows) else []


def _whole_patients(patients: list[list[int]], quota: int) -> list[int]:
    """The rows of randomly chosen patients, as many as fit into `quota`; the seed is fixed."""
    random.Random(0).shuffle(patients)
    chosen: list[int] = []
    for rows in patients:
        if len(chosen) + len(rows) <= quota:
            chosen += rows
    return chosen
