"""What reading a study found, cached for the next command: folds, nearly identical images, and which are bad."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.alike import alike_file, cached_groups
from harness.data.dataset import Dataset, Skipped
from harness.data.drawn_apart import cache_drawn_apart
from harness.data.folds import Fold, check_fold, make_folds
from harness.data.inputs import Workspace
from harness.store import Store
from harness.store.files import read_json, write_atomic
from harness.study import Study
from harness.study.identity import digest


def study_folds(study: Study, dataset: Dataset, store: Store) -> list[Fold]:
    """Make the folds, or read them from the cache of an earlier command: making them takes seconds."""
    if not study.folds.is_drawn:
        with study.blamed("folds", "by"):
            return make_folds(dataset, study.folds)
    stored: list[dict[str, Any]] | None = read_json(_folds_file(study, dataset, store))
    if stored is not None:
        folds = [Fold(f["repeat"], f["fold"], np.array(f["train"]), np.array(f["validation"])) for f in stored]
        for fold in folds:
            check_fold(dataset, fold, study.folds.grouped)
        return folds
    with study.blamed("folds", "k"):
        return make_folds(dataset, study.folds)


def cache_inputs(workspace: Workspace) -> None:
    """Cache the folds and the list of bad images for the next command, once the request can no longer be refused."""
    study, inputs, store = workspace.study, workspace.inputs, workspace.store
    path = _folds_file(study, inputs.dataset, store)
    if study.folds.is_drawn and read_json(path) is None:
        rows = [
            {"repeat": f.repeat, "fold": f.fold, "train": f.train.tolist(), "validation": f.validation.tolist()}
            for f in inputs.folds
        ]
        write_atomic(path, json.dumps(rows).encode())
    alike = alike_file(study, inputs.dataset, store)
    if study.folds.duplicates != "apart" and read_json(alike) is None:
        write_atomic(alike, json.dumps(cached_groups(study, inputs.dataset)).encode())
    cache_drawn_apart(study, inputs.dataset, store)
    if inputs.dataset.skipped is not None:
        _cache_bad(inputs.dataset.skipped, store)


def _cache_bad(skipped: Skipped, store: Store) -> None:
    """Cache the bad images of each source by the hash of its files; those of a set have its name before their paths."""
    each: dict[str, dict[str, str]] = {value: {} for value in (skipped.files_digest, *skipped.of_sets.values())}
    for image, why in skipped.reasons.items():
        name, _, rest = image.partition(":")
        if name in skipped.of_sets:
            each[skipped.of_sets[name]][rest] = why
        else:
            each[skipped.files_digest][image] = why
    for files_digest, reasons in each.items():
        if known_bad(store, files_digest) is None:
            write_atomic(_bad_file(store, files_digest), json.dumps(reasons).encode())


def _folds_file(study: Study, dataset: Dataset, store: Store) -> Path:
    return store.cache / "folds" / f"{digest([dataset.digest, study.folds.model_dump()])}.json"


def known_bad(store: Store, files_digest: str) -> dict[str, str] | None:
    """The bad images that an earlier command found among the same files."""
    known: dict[str, str] | None = read_json(_bad_file(store, files_digest))
    return known


def _bad_file(store: Store, files_digest: str) -> Path:
    return store.cache / "bad-images" / f"{files_digest}.json"
