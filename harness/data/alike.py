"""Nearly identical training images, found before the folds are made, so that the folds keep them together."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.data.dataset import ALIKE, Dataset, Rows
from harness.data.decode import DECODER
from harness.data.duplicates import HASHED_SIZE, Hashes, near_groups, perceptual_hashes
from harness.data.pixels import open_pixels, pieces, pixel_cache
from harness.data.survey import MAX_BLANK_SPREAD, pooled
from harness.store import Store
from harness.store.files import read_json
from harness.study import Study
from harness.study.identity import digest

VERSION = 1  # raise it when other images are found to be nearly identical


def with_alike(study: Study, dataset: Dataset, store: Store) -> Dataset:
    """The dataset with the groups of nearly identical training images, where the study keeps them together.

    Without any, and for a study that does not, the dataset as it is. Decodes every image, unless an earlier command
    has cached what it found.
    """
    if study.folds.duplicates == "apart":
        return dataset
    rows = dataset.rows("train")
    found = read_json(alike_file(study, dataset, store))
    groups = _groups(study, dataset, rows, store) if found is None else np.array(found, dtype=np.int64)
    if len(np.unique(groups)) == len(groups):
        return dataset
    images = dataset.table["image"]
    names = images.copy()
    names.iloc[rows] = images.iloc[rows[groups]].to_numpy()
    return replace(dataset, table=dataset.table.assign(**{ALIKE: names}))


def alike_rows(dataset: Dataset) -> list[int]:
    """The group of each training image, as the number of its first one among them: for the cache."""
    rows = dataset.rows("train")
    if ALIKE not in dataset.table:
        return list(range(len(rows)))
    places = {image: place for place, image in enumerate(dataset.table["image"].iloc[rows])}
    return [places[name] for name in dataset.table[ALIKE].iloc[rows]]


def alike_file(study: Study, dataset: Dataset, store: Store) -> Path:
    """The file in the cache with the groups of the training images."""
    hashes = dataset.table["sha256"].iloc[dataset.rows("train")].tolist()
    key = digest([VERSION, DECODER, study.data.image_size, hashes, *dataset.pixel_rules.in_keys])
    return store.cache / "alike" / f"{key}.json"


def alike_words(dataset: Dataset) -> str:
    """How many nearly identical training images the folds keep together."""
    sizes = Counter(alike_rows(dataset)).values()
    groups, images = sum(size > 1 for size in sizes), sum(size for size in sizes if size > 1)
    if not groups:
        return "nearly identical training images stay in one fold: there are none"
    return f"nearly identical training images stay in one fold: {images:,} in {groups:,} group{'s' * (groups != 1)}"


def _groups(study: Study, dataset: Dataset, rows: Rows, store: Store) -> Rows:
    """The group of each training image, [n]; blank ones and further identical files are in groups of their own."""
    whole = replace(dataset, pixel_rules=replace(dataset.pixel_rules, resize="squash"))  # as the audit sees them
    with store.draft() as draft:
        pixels = pixel_cache(whole, max(study.data.image_size, HASHED_SIZE), draft)
        hashes, blank = _hashes(pixels)
    copies = dataset.table["sha256"].iloc[rows].duplicated().to_numpy()
    compared = np.flatnonzero(~blank[rows] & ~copies)
    groups = np.arange(len(rows))
    groups[compared] = compared[near_groups(hashes[rows[compared]]).groups]
    return groups


def _hashes(file: Path) -> tuple[Hashes, np.ndarray]:
    """The hashes [n, ways, 4] of the images in a cache of pixels, and which of them are blank, [n]."""
    hashes, blank = [], []
    for piece in pieces(open_pixels(file)):
        hashes.append(perceptual_hashes(pooled(piece.mean(axis=1, dtype=np.float32), HASHED_SIZE)))
        spread = piece.max(axis=(2, 3)) - piece.min(axis=(2, 3))
        blank.append(spread.max(axis=1) <= MAX_BLANK_SPREAD)
    return np.concatenate(hashes), np.concatenate(blank)
