"""A drawn test set without images that are nearly identical to training images, where a study keeps such together."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from harness.data.alike import by_name, found_groups, groups_file
from harness.data.dataset import SPLITS, Dataset
from harness.data.held_out import drawn
from harness.store import Store
from harness.store.files import read_json, write_atomic
from harness.study import Study

FINDING = "near-duplicate-across-splits"  # a study that accepts it keeps the test set that it has


def keeps_apart(study: Study) -> bool:
    """Whether nearly identical images are on one side of the draw of a study's test set.

    Not where labels are corrected: a table of corrections is of the training images of one draw.
    """
    spec = study.data
    is_drawn = spec.test is not None and spec.test.held_out is not None and spec.corrections is None
    return is_drawn and study.folds.duplicates != "apart" and FINDING not in study.audit.accept


def drawn_apart(study: Study, dataset: Dataset, store: Store) -> Dataset:
    """The dataset; where its drawn test set has images nearly identical to training images, with another test set.

    That is drawn by the same rule and seed, each group of nearly identical images as a whole: so a draw that tears
    none is as it was before studies had this. Decodes every image, unless an earlier command has cached what it found.
    Raises DataError where a class would then be missing on a side.
    """
    spec = study.data.test.held_out if study.data.test else None
    if spec is None or not keeps_apart(study):
        return dataset
    rows = by_name(dataset)
    found = read_json(groups_file(study, dataset, rows, store))
    groups = found_groups(study, dataset, rows, store).tolist() if found is None else found
    alike = pd.Series(groups[0], rows).sort_index()
    dataset = replace(dataset, alike_of_all=tuple(map(tuple, groups)))
    if dataset.table["split"].groupby(alike).nunique().max() == 1:
        return dataset
    chosen = drawn(dataset.table, spec, study.data.patient_source is not None, alike=alike)
    train, test = SPLITS
    table = dataset.table.assign(split=np.where(chosen, test, train))
    parts = [table[table["split"] == split].sort_values("image") for split in SPLITS]
    return replace(dataset, table=pd.concat(parts, ignore_index=True))


def cache_drawn_apart(study: Study, dataset: Dataset, store: Store) -> None:
    """Cache the groups by which the test set was drawn, for the next command."""
    path = groups_file(study, dataset, by_name(dataset), store)
    if dataset.alike_of_all and read_json(path) is None:
        write_atomic(path, json.dumps(dataset.alike_of_all).encode())
