"""The images of a study as a table, and what was left out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.corrections import Correction
from harness.data.decode import unreadable
from harness.data.left_out import LeftOut
from harness.study.identity import digest
from harness.study.pixel_rules import DEFAULT_RULES, PixelRules

LEADING = "test"  # the split of the one test set, or of the first of several
SPLITS = ("train", LEADING)
Rows = NDArray[np.int64]
ALIKE = "alike"  # the column with the first of the training images that each one is nearly identical to
ALIKE_BY_HASH = "alike_by_hash"  # the same by hashes alone, where images are laid over each other too
_IDENTITY = ["image", "split", "label", "patient", "sha256"]  # columns


@dataclass(frozen=True)
class Skipped:
    """The bad images that a study leaves out, and why. files_digest: the hash of all `of` files that were found.

    of_sets: the same hash of the files of each test set with a source of its own.
    """

    files_digest: str
    of: int
    reasons: Mapping[str, str]
    of_sets: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"left out (data.on_bad_image: skip): {unreadable(self.reasons, self.of)}"


@dataclass(frozen=True)
class Dataset:
    """The images of a study.

    table: the columns image, split, label, patient, sha256, size (bytes); from a table of images also row, and where
    the study names them fold and the metadata: numbers or text, None or NaN where the cell is empty.
    """

    root: Path
    table: pd.DataFrame
    classes: tuple[str, ...]
    positive: str | None  # None with three classes or more
    synthetic: bool
    skipped: Skipped | None = None
    patient_rule: str | None = None  # or the column that says it; None: each image counts as a patient
    left_out: tuple[LeftOut, ...] = ()  # the files in the folder, or the rows of the table, that are not read
    pixel_rules: PixelRules = DEFAULT_RULES
    metadata: tuple[str, ...] = ()  # the columns of `table` that only describe the images
    sets: tuple[str, ...] = ()  # the names of the test sets, the leading one first; empty: one without a name
    set_roots: Mapping[str, Path] = field(default_factory=dict)  # of the sets with a source of their own
    corrected: tuple[Correction, ...] = ()  # the training images whose labels a table of the user's corrects
    alike_of_all: tuple[tuple[int, ...], ...] = ()  # where a test set is drawn apart from its likes: `drawn_apart`

    @cached_property
    def digest(self) -> str:
        """The hash of everything that the fits of folds depend on, and the scores on the leading test set.

        Not of the path of the image folder, nor of further test sets.
        """
        rows = self.table[self.table["split"].isin(SPLITS)]
        alike = [rows[ALIKE].tolist()] if ALIKE in rows else []
        return digest([list(self.classes), self.positive, rows[_IDENTITY].to_numpy().tolist(), *alike])

    @cached_property
    def sets_digest(self) -> str | None:
        """The hash of the further test sets, which decide no fit of a fold; None where there are none."""
        rows = self.table[~self.table["split"].isin(SPLITS)]
        metadata = [_cells(rows, self.metadata)] if self.metadata else []
        return digest([rows[_IDENTITY].to_numpy().tolist(), *metadata]) if len(rows) else None

    def framed(self, preprocessing: str) -> "Dataset":
        """The same images, made squares as a scenario with this preprocessing reads them."""
        return replace(self, pixel_rules=self.pixel_rules.framed(preprocessing))

    @property
    def further_sets(self) -> tuple[str, ...]:
        """The names of the test sets but the leading one."""
        return self.sets[1:]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits in the order of the table: train, test, and those of the further sets."""
        return (*SPLITS, *map(set_split, self.further_sets))

    def split_words(self, split: str) -> str:
        """A split in a sentence: `train/` and `test/`, or, where test sets have names, `training`, `the set NAME`."""
        if not self.sets:
            return f"{split}/"
        return "training" if split == "train" else f"the set {self.sets[self.splits.index(split) - 1]}"

    def of_set(self, name: str | None) -> "Dataset":
        """The dataset whose one test set is the set of this name; None: the leading one."""
        split = LEADING if name in (None, *self.sets[:1]) else set_split(str(name))
        if not self.further_sets:
            return self
        table = self.table[self.table["split"].isin(["train", split])].replace({"split": {split: LEADING}})
        return replace(self, table=table.reset_index(drop=True), sets=(), set_roots={})

    @cached_property
    def each_set(self) -> tuple["Dataset", ...]:
        """The dataset with each test set alone, the leading one first."""
        return tuple(self.of_set(name) for name in self.sets) if self.further_sets else (self,)

    @property
    def patient_words(self) -> str:
        """What says who the patients are, as a sentence names it: the rule of the study file, or a column."""
        return f"the {self.patient_rule}" if (self.patient_rule or "").startswith("column ") else "the rule"

    def patients_known(self, split: str) -> bool:
        """Whether anything says who the patients of this split are, in a set from elsewhere its own source."""
        rows = self.table[self.table["split"] == split]
        from_elsewhere = bool(self.set_roots) and split != "train"
        return self.patient_rule is not None and not (from_elsewhere and rows["patient"].equals(rows["image"]))

    @property
    def own_images(self) -> pd.DataFrame:
        """The rows of the table without those of sets from elsewhere."""
        if not self.set_roots:
            return self.table
        return self.table[~self.table["image"].str.partition(":")[0].isin([*self.set_roots])]

    @property
    def files(self) -> list[Path]:
        """The path of every image file."""
        return [self.file_of(image) for image in self.table["image"]]

    def file_of(self, image: str) -> Path:
        """The path of the file of an image; that of a set from elsewhere starts with the name of the set."""
        name, _, rest = image.partition(":")
        return self.set_roots[name] / rest if name in self.set_roots else self.root / image

    @cached_property
    def metadata_digest(self) -> str | None:
        """The hash of the metadata, which decide tables but no fit; None where there are none.

        Without those of further test sets.
        """
        if not self.metadata:
            return None
        rows = self.table[self.table["split"].isin(SPLITS)]
        if self.further_sets:  # whole numbers became floats where a further set lacks the column
            whole = [name for name in self.metadata if _is_whole(rows[name])]
            rows = rows.astype(dict.fromkeys(whole, "int64"))
        return digest([list(self.metadata), _cells(rows, self.metadata)])

    @cached_property
    def test_images(self) -> frozenset[str]:
        """The hashes of the test images."""
        return frozenset(self.table.loc[self.rows("test"), "sha256"])

    @cached_property
    def labels(self) -> Rows:
        """The class index of every row of the table: [n]."""
        return np.asarray(pd.Categorical(self.table["label"], categories=self.classes).codes, dtype=np.int64)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The group of every row, [n]: images of one patient, and of patients that share an identical file.

        Where a study keeps nearly identical training images together, they connect patients, too.
        """
        alike = [self.table[ALIKE]] if ALIKE in self.table else []
        return connected(self.table["patient"], self.table["sha256"], *alike)

    def rows(self, split: str) -> Rows:
        """The rows of the table in this split."""
        return np.flatnonzero(self.table["split"] == split).astype(np.int64)

    def counts(self, rows: Rows) -> dict[str, int]:
        """The number of these rows by class."""
        numbers = np.bincount(self.labels[rows], minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))


def _cells(rows: pd.DataFrame, columns: Sequence[str]) -> list[list[Any]]:
    """The cells of these columns, row by row; None where one is empty."""
    cells = rows[list(columns)].astype(object)
    found: list[list[Any]] = cells.where(cells.notna(), None).to_numpy().tolist()
    return found


def _is_whole(column: pd.Series) -> bool:
    return pd.api.types.is_float_dtype(column) and bool((column % 1 == 0).all())


def set_split(name: str) -> str:
    """The split of a test set that is not the leading one."""
    return f"{LEADING}:{name}"


def place_of(image: pd.Series) -> str:
    """An image as a message names it: its path, and its row where it is from a table. image: a row of a manifest."""
    row = image.get("row")
    return str(image["image"]) if pd.isna(row) else f"{image['image']} (row {row})"


def connected(*columns: pd.Series) -> NDArray[np.int64]:
    """The connected component of every row; rows that agree in any column are connected."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(columns[0])
    codes = [pd.factorize(column)[0] for column in columns]
    offsets = np.cumsum([count] + [int(code.max(initial=-1)) + 1 for code in codes])
    rows = np.concatenate([np.arange(count)] * len(codes))
    others = np.concatenate([code + offset for code, offset in zip(codes, offsets[:-1], strict=True)])
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, others)), shape=(offsets[-1], offsets[-1]))
    return np.asarray(connected_components(graph, directed=False)[1][:count], dtype=np.int64)
