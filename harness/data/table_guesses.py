"""Guess what the columns of a table of images are, by their names and their content, and say from what."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from harness.data.decode import image_extensions
from harness.data.listing import visible_name
from harness.data.table_file import FIRST_ROW, gap_words, read_rows
from harness.errors import DataError, printable
from harness.study.number_words import first_of
from harness.study.set_block import SPLIT_NAMES

MAX_TRIED = 20  # cells of a column that are looked up as files
MAX_CLASSES = 100
MAX_LISTED = 12  # columns in a line
WORDS = {  # of a column -> the names that such columns have, in lower case and without signs
    "label": {
        "label", "labels", "class", "classname", "target", "diagnosis", "dx", "finding", "findings", "findinglabels",
        "category", "y", "outcome", "disease", "grade", "level", "classid",
        "befund", "diagnose", "klasse", "diagnostic", "diagnostico", "diagnosi", "classe", "clase",
    },
    "patient": {
        "patient", "patientid", "patients", "pid", "subject", "subjectid", "person", "personid", "participant",
        "participantid", "case", "caseid", "lesionid", "patid", "patno", "patnr", "patientno", "patientnr",
        "patientnumber", "mrn",
    },
    "split": {"split", "set", "subset", "partition", "fold", "datasplit", "traintest"},
    "fold": {"fold", "folds", "cvfold", "foldid", "kfold"},
    "metadata": {
        "sex", "gender", "age", "ageapprox", "patientage", "patientsex", "patientgender", "site", "hospital", "center",
        "centre", "clinic", "institution", "source", "scanner", "manufacturer", "device", "vendor", "camera", "view",
        "viewposition", "projection", "position", "race", "ethnicity", "country", "localization", "laterality", "eye",
        "geschlecht", "alter",
    },
}  # fmt: skip


WITHIN = {
    "label": {"label", "labels", "class", "target", "diagnosis", "diagnose", "befund", "finding", "findings"}
}  # words that say enough
BRACKETS = re.compile(r"\(.*?\)|\[.*?\]")  # of `Age (years)`


@dataclass(frozen=True)
class ColumnGuess:
    """The column that was guessed for a role, and why."""

    column: str
    why: str


@dataclass(frozen=True)
class TableGuess:
    """What the columns of a table are.

    columns: by what they say of an image. others: those that nothing uses. gaps: which metadata of numbers lack some,
    in words. spellings: each label and its class, where labels differ only by spaces or case, or where some are empty;
    else empty.
    """

    root: Path
    columns: dict[str, ColumnGuess]
    metadata: tuple[str, ...]
    others: tuple[str, ...]
    gaps: tuple[str, ...]
    spellings: Mapping[str, str]

    @property
    def notes(self) -> Iterator[str]:
        """A line for each guess."""
        for role, guess in self.columns.items():
            yield f"{role}: the column {guess.column}, {guess.why}; check this"
        if joined := [repr(label) for label, name in self.spellings.items() if label != name]:
            classes = ", ".join(dict.fromkeys(name for label, name in self.spellings.items() if label != name))
            yield f"labels: {first_of(joined, MAX_LISTED)} are other spellings of {classes}; check this"
        if self.metadata:
            yield f"metadata, by their names: {', '.join(self.metadata)}; check this"
        yield from self.gaps
        if self.others:
            yield f"columns that are not used: {first_of(self.others, MAX_LISTED)}"


def guess_columns(path: Path) -> TableGuess:
    """Guess the columns of a table. Raises DataError where none of them leads to files, or none looks like labels."""
    table = read_rows(path)
    if not len(table):
        raise DataError(f"{printable(str(path))} has no row below the names of its columns")
    root, image = _images(table, path)
    found = {"image": image}
    for role, fits in _CONTENT.items():
        names = [str(name) for name in table if name not in {guess.column for guess in found.values()}]
        fitting = [each for each in _named(role, names) if fits(table[each].dropna())]
        name = fitting[0] if fitting else None
        if name is not None:
            found[role] = ColumnGuess(name, f"by its name: {_content(table[name])}")
    if "label" not in found:
        names = [str(name).strip() for name in table]
        raise DataError(
            f"{printable(path.name)}: no column looks like the labels (of {', '.join(names)}); rename it"
            " to `label`, or write the study file by hand: data: {columns: {label: NAME}}"
        )
    used = {guess.column for guess in found.values()}
    rest = [str(name) for name in table if name not in used]
    metadata = tuple(_named("metadata", rest))
    others = tuple(name for name in rest if name not in metadata)
    gaps = tuple(f"{name}: {words}" for name in metadata if (words := gap_words(table[name])))
    return TableGuess(root, found, metadata, others, gaps, _spellings(table[found["label"].column]))


def _spellings(labels: pd.Series) -> dict[str, str]:
    """Each label and its class, the most frequent spelling; empty where none is and none differs by spaces or case.

    A study that names its labels leaves out the rows that have none.
    """
    classes: dict[str, str] = {}
    found = {}
    for label in map(str, labels.value_counts().index):
        found[label] = classes.setdefault(visible_name(label).strip().casefold(), label.strip())
    return found if labels.isna().any() or any(label != name for label, name in found.items()) else {}


def _images(table: pd.DataFrame, path: Path) -> tuple[Path, ColumnGuess]:
    """The folder in which the paths start, and the column with them: most of its cells are files there.

    Not all need be: a table is often older than its folder, and `plan` names what is gone.
    """
    roots = [path.parent, *sorted(each for each in path.parent.iterdir() if each.is_dir())]
    differ = [name for name in table if 2 * table[name].nunique() > table[name].count()]  # else patients, 1 for 1.png
    tried = {name: table[name].dropna().drop_duplicates().head(MAX_TRIED).str.strip() for name in differ}
    for ending, root, name in product(("", *sorted(image_extensions())), roots, tried):
        cells = tried[name]
        files = sum(_is_file(root, f"{cell}{ending}") for cell in cells)
        if 2 * files > len(cells):
            without = f" without their extension {ending}" if ending else ""
            where = "its folder" if root == path.parent else f"{root.name}/"
            count = f"its first {len(cells)}" if files == len(cells) else f"{files} of its first {len(cells)}"
            return root, ColumnGuess(str(name), f"as {count} cells are files in {where}{without}")
    example = next(iter(next(iter(tried.values()), ())), "-")
    raise DataError(
        f"no column of {printable(path.name)} has paths of files in {printable(str(path.parent))} or a folder in it,"
        f" row {FIRST_ROW} for example {printable(str(example))}; put the table beside the images"
    )


def _is_file(root: Path, name: str) -> bool:
    try:
        return (root / name.replace("\\", "/")).is_file()
    except (OSError, ValueError):  # a cell that is no path
        return False


def _are_classes(cells: pd.Series) -> bool:
    return 2 <= cells.nunique() <= min(MAX_CLASSES, len(cells) // 2)


def _repeat(cells: pd.Series) -> bool:
    return bool(cells.nunique() > 1)


def _are_splits(cells: pd.Series) -> bool:
    return bool(cells.str.strip().str.lower().isin(SPLIT_NAMES).all()) and len(cells) > 0


def _are_folds(cells: pd.Series) -> bool:
    return 2 <= cells.nunique() <= min(MAX_CLASSES, len(cells) // 2)


_CONTENT: dict[str, Callable[[pd.Series], bool]] = {
    "label": _are_classes, "patient": _repeat, "split": _are_splits, "fold": _are_folds,
}  # fmt: skip


def _content(column: pd.Series) -> str:
    """What a column has, in words."""
    counts = column.value_counts()
    shown = ", ".join(f"{value} {count:,}" for value, count in counts.head(4).items())
    return (
        shown if len(counts) <= 4 else f"{len(counts):,} values in {int(column.notna().sum()):,} rows, such as {shown}"
    )


def _named(role: str, names: Sequence[str]) -> list[str]:
    """The columns with a name for this role: first those that have it whole, then those that have a word of it."""
    whole = [name for name in names if _plain(name) in WORDS[role]]
    words = {name: set(re.findall("[a-z]+", BRACKETS.sub("", name).lower())) for name in names if name not in whole}
    return whole + [name for name, found in words.items() if found & WITHIN.get(role, set())]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", BRACKETS.sub("", name).lower())
