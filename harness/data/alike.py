"""Nearly identical training images, found before the folds are made, so that the folds keep them together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness.data.aligned import VERSION as ALIGNED_VERSION
from harness.data.aligned import AlignedPair, aligned_pairs
from harness.data.dataset import ALIKE, ALIKE_BY_HASH, Dataset, Rows
from harness.data.decode import DECODER
from harness.data.duplicates import HASHED_SIZE, Hashes, Thumbnails, near_groups, perceptual_hashes
from harness.data.pixels import open_pixels, pieces, pixel_cache
from harness.data.survey import MAX_BLANK_SPREAD, pooled
from harness.store import Store
from harness.store.files import read_json
from harness.study import Study
from harness.study.identity import digest
from harness.study.number_words import number_of

VERSION = 1  # raise it when other images are found to be nearly identical
_COLUMNS = (ALIKE, ALIKE_BY_HASH)


def with_alike(study: Study, dataset: Dataset, store: Store) -> Dataset:
    """The dataset with the groups of nearly identical training images, where the study keeps them together.

    Without any, and for a study that does not, the dataset as it is. Decodes every image, unless an earlier command
    has cached what it found.
    """
    if study.folds.duplicates == "apart":
        return dataset
    rows, columns = dataset.rows("train"), dict(zip(_COLUMNS, _of_training(study, dataset, store), strict=False))
    if len(np.unique(columns[ALIKE])) == len(rows):
        return dataset
    return replace(dataset, table=dataset.table.assign(**{n: _named(dataset, g) for n, g in columns.items()}))


def _of_training(study: Study, dataset: Dataset, store: Store) -> Rows:
    """The groups of the training images, [1 or 2, n], as `found_groups` has them."""
    rows = dataset.rows("train")
    if dataset.alike_of_all:  # found for the draw of the test set, which tears none
        place = np.argsort(by_name(dataset))[rows]
        return np.stack([_first_of_each(np.array(groups, dtype=np.int64)[place]) for groups in dataset.alike_of_all])
    found = read_json(alike_file(study, dataset, store))
    return found_groups(study, dataset, rows, store) if found is None else np.atleast_2d(np.array(found, np.int64))


def by_name(dataset: Dataset) -> Rows:
    """The rows of all images in the order of their names, whatever their splits."""
    return np.argsort(dataset.table["image"].to_numpy(dtype=str), kind="stable").astype(np.int64)


def _first_of_each(labels: Rows) -> Rows:
    """Groups by the number of their first row, of groups by any label, [n]."""
    _, first, of = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[of], dtype=np.int64)


def _named(dataset: Dataset, groups: Rows) -> pd.Series:
    """The name of the first image of each one's group; of an image that is not in training its own."""
    rows, images = dataset.rows("train"), dataset.table["image"]
    names = images.copy()
    names.iloc[rows] = images.iloc[rows[groups]].to_numpy()
    return names


def alike_rows(dataset: Dataset, column: str = ALIKE) -> list[int]:
    """The group of each training image by this column, as the number of its first one among them."""
    rows = dataset.rows("train")
    if column not in dataset.table:
        return list(range(len(rows)))
    places = {image: place for place, image in enumerate(dataset.table["image"].iloc[rows])}
    return [places[name] for name in dataset.table[column].iloc[rows]]


def cached_groups(study: Study, dataset: Dataset) -> list[int] | list[list[int]]:
    """The groups of the training images for the cache, [n]; with aligned ones [2, n], then those by hashes alone."""
    if study.folds.duplicates == "aligned":
        return [alike_rows(dataset), alike_rows(dataset, ALIKE_BY_HASH)]
    return alike_rows(dataset)


def alike_file(study: Study, dataset: Dataset, store: Store) -> Path:
    """The file in the cache with the groups of the training images."""
    return groups_file(study, dataset, dataset.rows("train"), store)


def groups_file(study: Study, dataset: Dataset, rows: Rows, store: Store) -> Path:
    """The file in the cache with the groups of these images, in this order."""
    hashes = dataset.table["sha256"].iloc[rows].tolist()
    aligned = ["aligned", ALIGNED_VERSION] if study.folds.duplicates == "aligned" else []
    key = digest([VERSION, DECODER, study.data.image_size, hashes, *dataset.pixel_rules.in_keys, *aligned])
    return store.cache / "alike" / f"{key}.json"


def alike_words(study: Study, dataset: Dataset) -> str:
    """How many nearly identical training images the folds keep together, and how many by being laid over others."""
    groups, aligned = pd.Series(alike_rows(dataset)), study.folds.duplicates == "aligned"
    what = f"nearly identical {'or aligned ' * aligned}training images stay in one fold"
    sizes = groups.groupby(groups).transform("size")
    if not (sizes > 1).any():
        return f"{what}: there are none"
    text = f"{what}: {(sizes > 1).sum():,} in {_count(groups[sizes > 1].nunique())}"
    if not aligned:
        return text
    by_hash = pd.Series(alike_rows(dataset, ALIKE_BY_HASH)).groupby(groups).nunique()
    return f"{text}, of which {(by_hash > 1).sum():,} would be apart by hashes alone"


def _count(groups: int) -> str:
    return number_of(groups, "group")


def found_groups(study: Study, dataset: Dataset, rows: Rows, store: Store) -> Rows:
    """The group of each of these images, [1, n], as the number of its first one; with aligned ones [2, n].

    Then by both, and by hashes alone. Blank images and further identical files are in groups of their own.
    """
    whole = replace(dataset, pixel_rules=replace(dataset.pixel_rules, resize="squash"))  # as the audit sees them
    with store.draft() as draft:
        small, blank = _small(pixel_cache(whole, max(study.data.image_size, HASHED_SIZE), draft), rows)
    copies = dataset.table["sha256"].iloc[rows].duplicated().to_numpy()
    compared = np.flatnonzero(~blank & ~copies)
    near = near_groups(_hashes(small[compared])).groups
    by_hash, both = np.arange(len(rows)), np.arange(len(rows))
    by_hash[compared] = compared[near]
    if study.folds.duplicates != "aligned":
        return by_hash[None]
    both[compared] = compared[_joined(near, aligned_pairs(small[compared])[0])]
    return np.stack([both, by_hash])


def _hashes(small: Thumbnails, size: int = 4096) -> Hashes:
    """The hashes [n, ways, 4], of so many images at a time."""
    starts = range(0, max(len(small), 1), size)
    return np.concatenate([perceptual_hashes(small[start : start + size]) for start in starts])


def _joined(groups: Rows, pairs: Sequence[AlignedPair]) -> Rows:
    """These groups, those of each pair made one: of each image the number of the first one of its group, [n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.concatenate([np.arange(len(groups)), [pair.row for pair in pairs]]).astype(np.int64)
    others = np.concatenate([groups, [pair.other for pair in pairs]]).astype(np.int64)
    graph = coo_array((np.ones(len(ones), dtype=np.int8), (ones, others)), shape=(len(groups), len(groups)))
    labels = connected_components(graph, directed=False)[1]
    return _first_of_each(labels)


def _small(file: Path, rows: Rows) -> tuple[Thumbnails, np.ndarray]:
    """These images of a cache of pixels in gray, [n, 32, 32], and which of them are blank, [n]."""
    small, blank = [], []
    for piece in pieces(open_pixels(file)):
        small.append(pooled(piece.mean(axis=1, dtype=np.float32), HASHED_SIZE))
        spread = piece.max(axis=(2, 3)) - piece.min(axis=(2, 3))
        blank.append(spread.max(axis=1) <= MAX_BLANK_SPREAD)
    return np.concatenate(small)[rows], np.concatenate(blank)[rows]
