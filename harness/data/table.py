"""Read a table of images: one row an image, with its label and what else is known of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import category, normalize

import pandas as pd

from harness.data.decode import image_extensions
from harness.data.left_out import MAX_EXAMPLES, Kind, LeftOut, extension
from harness.data.listing import Listing, visible_name
from harness.data.table_file import read_rows, typed
from harness.errors import DataError, printable
from harness.study.data_block import Data
from harness.study.messages import unknown
from harness.study.number_words import first_of
from harness.study.set_block import SPLIT_NAMES
from harness.study.strict_yaml import FieldPath

RESERVED = (
    "image",
    "label",
    "patient",
    "split",
    "fold",
    "repeat",
    "row",
    "sha256",
    "size",
    "alike",
    "alike_by_hash",
)  # columns of a manifest
MAX_NAMED = 8  # values in an error


def read_table(spec: Data, root: Path) -> Listing:
    """List the images of a table in its order, and the rows that are left out.

    Adds the columns row, and, where the study names them, patient, fold and the metadata. root: where paths start.
    Raises DataError, naming the row where there is one.
    """
    path = Path(spec.path or "")
    table = _chosen(spec, read_rows(path), path)
    left: list[LeftOut] = []
    table = _labelled(spec, _split(spec, table, left), left)
    for name, column in (("image", spec.columns.image), ("patient", spec.columns.patient)):
        if name in table:
            _require_whole(table, name, str(column), path)
    table["image"] = _paths(table, root, path)
    table = _once(table, left, path)
    if not len(table):
        raise DataError(f"{printable(path.name)}: no row is left: {'; '.join(map(str, left)) or 'it has none'}")
    _check_labels(table, path)
    for name in spec.table_metadata:
        table[name] = typed(table[name])
    return Listing(table.reset_index(drop=True), tuple(left))


def _chosen(spec: Data, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The columns that the study names, by what they say of an image. Raises DataError for one that is not there."""
    roles = {name: column for name, column in spec.columns.model_dump().items() if column is not None}
    wanted: list[tuple[FieldPath, str]] = [(("data", "columns", name), column) for name, column in roles.items()]
    wanted += [(("data", "metadata", spec.metadata.index(column)), column) for column in spec.table_metadata]
    for field, column in wanted:
        if column not in table:
            raise DataError(f"{printable(path.name)}: {unknown('column', column, list(table.columns))}", field)
    for number, column in enumerate(spec.metadata):
        used = next((name for name, other in roles.items() if other == column), None)
        if used is not None or column in RESERVED or column.startswith("prob_") or column in spec.metadata[:number]:
            why = f"it is the {used} already" if used else "that is a column of the manifest: rename it in the table"
            raise DataError(f"{column} cannot be metadata: {why}", ("data", "metadata", number))
    chosen = {name: table[column] for name, column in roles.items()} | {
        name: table[name] for name in spec.table_metadata
    }
    return pd.DataFrame(chosen).assign(row=table.index)


def _split(spec: Data, table: pd.DataFrame, left: list[LeftOut]) -> pd.DataFrame:
    """Put `train` or `test` into the column split, and leave other rows out. Without the column all are `train`.

    A split that a test set names, such as `external`, keeps its name.
    """
    if "split" not in table:
        return table.assign(split="train")
    names, asked = table["split"], table["split"].isin(spec.named_splits)
    if spec.splits is None:
        found = names.map(lambda name: SPLIT_NAMES.get(name.strip().lower()), na_action="ignore")
        strange = list(dict.fromkeys(names[names.notna() & found.isna() & ~asked]))
        if strange:
            first = f"{strange[0]}: train" if len(strange) > 1 else f"{strange[0]}: test"
            raise DataError(
                f"the column {spec.columns.split} has {_listed(strange)}, no name of a split (train, val, test); say"
                f" what they are: splits: {{{first}, ...}}",
                ("data", "columns", "split"),
            )
    else:
        _require_used(spec.splits, names, "splits", spec.columns.split)
        found = names.map(spec.splits)
    found = found.where(~asked, names)
    _leave_out(left, "splits", table[found.isna()], names)
    if "val" not in spec.named_splits:
        if spec.val == "train":
            found = found.replace("val", "train")
        _leave_out(left, "val", table[found == "val"])
    return table.assign(split=found)[found.isin(["train", "test", *spec.named_splits])]


def _labelled(spec: Data, table: pd.DataFrame, left: list[LeftOut]) -> pd.DataFrame:
    """Put the classes into the column label, and leave out rows with labels that `labels` does not name."""
    if spec.labels is None:
        _require_whole(table, "label", spec.columns.label, Path(spec.path or ""))
        return table
    _require_used(spec.labels, table["label"], "labels", spec.columns.label)
    found = table["label"].map({normalize("NFC", k): normalize("NFC", v) for k, v in spec.labels.items()})
    _leave_out(left, "labels", table[found.isna()], table["label"])
    return table.assign(label=found)[found.notna()]


def _require_used(names: Iterable[str], column: pd.Series, field: str, title: str | None) -> None:
    """Raise DataError for a name in a mapping of the study file that the column does not have."""
    there = {str(value) for value in column.dropna().unique()}
    for name in names:
        if normalize("NFC", name) not in there:
            raise DataError(
                f"no row has {name!r} in the column {title}, which has {_listed(sorted(there))}", ("data", field, name)
            )


def _require_whole(table: pd.DataFrame, name: str, column: str, path: Path) -> None:
    empty = table.loc[table[name].isna(), "row"]
    if len(empty):
        more = {"label": ", or leave such rows out with `labels:`"}.get(name, "")
        count = f" ({len(empty):,} such rows)" if len(empty) > 1 else ""
        raise DataError(
            f"{printable(path.name)}, row {empty.iloc[0]}: {column} is empty{count}; fill it in{more}",
            ("data", "columns", name),
        )


def _paths(table: pd.DataFrame, root: Path, path: Path) -> pd.Series:
    """The paths of the images below `root`, with `/`, and with the extension where the table leaves it out."""
    images = table["image"].str.strip().str.replace("\\", "/", regex=False)
    odd = images.str.contains(r"//|(?:^|/)\.(?:/|$)|/$", regex=True)
    images[odd] = images[odd].map(lambda each: Path(each).as_posix())
    wrong = images.str.startswith("/") | images.str.contains(r"(?:^|/)\.\.(?:/|$)|^[A-Za-z]:/", regex=True)
    if wrong.any():
        row, image = table.loc[wrong, "row"].iloc[0], images[wrong].iloc[0]
        raise DataError(
            f"{printable(path.name)}, row {row}: {printable(image)} leads out of {printable(str(root))}; write paths"
            " that start at `root`",
            ("data", "root"),
        )
    if len(images) and not (root / images.iloc[0]).exists() and extension(images.iloc[0]) not in image_extensions():
        images = images + _missing_extension(root, images.iloc[0])
    return images


def _missing_extension(root: Path, image: str) -> str:
    """The extension of the file of the first image, such as `.jpg`; empty where there is none."""
    known = [f"{image}{ending}" for ending in sorted(image_extensions())]
    return next((Path(name).suffix for name in known if (root / name).exists()), "")


def _once(table: pd.DataFrame, left: list[LeftOut], path: Path) -> pd.DataFrame:
    """Leave out rows that repeat another one. Raises DataError for two rows that say different things of one image."""
    again = table["image"].duplicated(keep=False)
    if not again.any():
        return table
    several = table[again]
    first = several.groupby("image", sort=False).transform("first")  # of each image, without the column itself
    for name in ("split", "label", *(each for each in first if each not in ("row", "split", "label"))):
        filled = several[name].notna() | first[name].notna()
        differs = several.index[filled & (several[name] != first[name])]
        if len(differs):
            (one, row), image = (each.loc[differs[0]] for each in (first, several)), several.loc[differs[0], "image"]
            raise DataError(
                f"{printable(path.name)}: rows {one['row']} and {row['row']} are both of {printable(str(image))},"
                f" with the {name} {one[name]} and {row[name]}; keep one"
            )
    copies = several["image"].duplicated()
    _leave_out(left, "copies", several[copies])
    return table.drop(index=copies[copies].index)


def _leave_out(left: list[LeftOut], kind: Kind, rows: pd.DataFrame, values: pd.Series | None = None) -> None:
    """Note rows that are left out. values: the cells that are the reason."""
    if not len(rows):
        return
    first = tuple(f"row {row} ({image})" for row, image in zip(rows["row"][:MAX_EXAMPLES], rows["image"], strict=False))
    parts: tuple[str, ...] = ()
    if values is not None:
        counts = values.loc[rows.index].fillna("empty").value_counts()
        parts = tuple(f"{value}: {count:,}" for value, count in counts.items())
    left.append(LeftOut(kind, len(rows), first, parts))


def _check_labels(table: pd.DataFrame, path: Path) -> None:
    """Raise DataError for classes that cannot be told apart in a table."""
    seen: dict[str, str] = {}
    for label in sorted(table["label"].unique()):
        if any(category(character) == "Cc" for character in label):
            raise DataError(f"{printable(path.name)}: the class {label!r} has a control character; rename it")
        other = seen.setdefault(visible_name(label).casefold(), label)
        if other != label:
            raise DataError(
                f"{printable(path.name)} has the classes {other!r} and {label!r}, which differ only by spaces or case;"
                " make them one, or name classes with `labels:`"
            )


def _listed(values: Sequence[str]) -> str:
    return first_of([*map(repr, values)], MAX_NAMED)
