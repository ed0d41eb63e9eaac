"""Compare a written file with the same file written again: every number, cell and line."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from math import isclose
from pathlib import Path
from typing import Any

from harness.study.history import ENVIRONMENT_FILE

RELATIVE_TOLERANCE = 1e-9  # of last digits, which other versions of packages and other processors may change
ABSOLUTE_TOLERANCE = 1e-12
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
FLOAT = re.compile(r"-?(\d+\.\d*|\d+(\.\d*)?e[+-]?\d+)")  # as pandas writes it
MAX_QUOTED = 80  # characters of a line
MISSING = object()


@dataclass
class FileComparison:
    """What comparing two files gave: the differences, each as a sentence, and how many numbers were compared.

    rounded: the numbers whose last digits differ, within the tolerance; they are no difference.
    """

    differences: list[str]
    numbers: int = 0
    rounded: int = 0

    def number(self, where: str, stored: float, again: float) -> None:
        """Compare two numbers."""
        self.numbers += 1
        if stored == again or (stored != stored and again != again):  # both undefined
            return
        if isclose(stored, again, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE):
            self.rounded += 1
        else:
            self.differs(where, stored, again)

    def differs(self, where: str, stored: object, again: object) -> None:
        """Note a difference."""
        self.differences.append(
            f"{where}: {_quoted(stored)} is stored, {_quoted(again)} is what follows from the results"
        )


def compare_json(stored: str, again: str) -> FileComparison:
    """Compare two JSON texts value by value."""
    found = FileComparison([])
    _compare_values(found, "", json.loads(stored), json.loads(again))
    return found


def compare_csv(stored: str, again: str) -> FileComparison:
    """Compare two tables cell by cell."""
    found = FileComparison([])
    tables = [list(csv.reader(io.StringIO(text, newline=""))) for text in (stored, again)]
    header = tables[1][0] if tables[1] else []
    for row, (old, new) in enumerate(zip_longest(*tables, fillvalue=[])):
        for column, (left, right) in enumerate(zip_longest(old, new, fillvalue=MISSING)):
            name = header[column] if column < len(header) else str(column + 1)
            _compare_cells(found, f"row {row}, {name}" if row else f"the name of column {column + 1}", left, right)
    return found


def compare_text(stored: str, again: str, rounding: bool = False) -> FileComparison:
    """Compare two texts line by line. rounding: numbers may differ by one in the last digit that is printed."""
    found = FileComparison([])
    for number, (left, right) in enumerate(zip_longest(stored.splitlines(), again.splitlines()), start=1):
        if left != right and not (rounding and left and right and _rounds_alike(left, right)):
            found.differs(f"line {number}", *_from_first_difference(left or "", right or ""))
    return found


def compare_files(stored: Path, again: Path, rounding: bool = False) -> FileComparison:
    """Compare two files by what they are; any other file byte by byte."""
    if stored.suffix not in (".json", ".csv", ".md", ".tex", ".html", ".txt"):
        same = stored.read_bytes() == again.read_bytes()
        return FileComparison([] if same else ["other bytes than those that are written again"])
    try:
        left, right = (path.read_bytes().decode() for path in (stored, again))
        if stored.suffix == ".json":
            return compare_json(left, right)
        if stored.suffix == ".txt" and stored.name != ENVIRONMENT_FILE:  # why a figure failed: the rest is a traceback
            left, right = left.partition("\n")[0], right.partition("\n")[0]
        return compare_csv(left, right) if stored.suffix == ".csv" else compare_text(left, right, rounding)
    except (ValueError, csv.Error) as error:
        return FileComparison([f"cannot be read ({error})"])


def _compare_values(found: FileComparison, where: str, stored: Any, again: Any) -> None:
    if isinstance(stored, dict) and isinstance(again, dict):
        for key in dict.fromkeys([*stored, *again]):
            _compare_values(found, f"{where}.{key}".lstrip("."), stored.get(key, MISSING), again.get(key, MISSING))
    elif isinstance(stored, list) and isinstance(again, list):
        for index, pair in enumerate(zip_longest(stored, again, fillvalue=MISSING)):
            _compare_values(found, f"{where}[{_name(index, pair)}]", *pair)
    elif _is_number(stored) and _is_number(again):
        found.number(where, stored, again)
    elif stored != again or type(stored) is not type(again):
        found.differs(where, stored, again)


def _compare_cells(found: FileComparison, where: str, stored: Any, again: Any) -> None:
    """Compare two cells as numbers where they are written as such; `007` is the name of a patient."""
    if all(isinstance(cell, str) and FLOAT.fullmatch(cell) for cell in (stored, again)):
        found.number(where, float(stored), float(again))
    elif stored != again:
        found.differs(where, stored, again)


def _name(index: int, pair: tuple[Any, Any]) -> str:
    """The place in a list, with what an estimate or a comparison of statistics.json is about."""
    entry: Mapping[str, Any] = next((each for each in reversed(pair) if isinstance(each, dict)), {})
    about = [str(entry[key]) for key in ("subject", "first", "second", "on", "metric", "of_class") if entry.get(key)]
    return ", ".join([str(index), *about])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounds_alike(left: str, right: str) -> bool:
    """Whether two lines differ only by one in the last digits of numbers."""
    if NUMBER.split(left) != NUMBER.split(right):
        return False
    return all(_next_to(a, b) for a, b in zip(NUMBER.findall(left), NUMBER.findall(right), strict=True))


def _next_to(left: str, right: str) -> bool:
    decimals = [len(text.partition("e")[0].partition(".")[2]) for text in (left, right)]
    unit = 10.0 ** -decimals[0]
    return left == right or (decimals[0] == decimals[1] > 0 and abs(float(left) - float(right)) < 1.5 * unit)


def _from_first_difference(left: str, right: str) -> Iterator[str]:
    """Both lines from a little before the place where they part."""
    place = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    start = max(0, place - MAX_QUOTED // 4)
    yield from (f"{'...' if start else ''}{line[start:]}" for line in (left, right))


def _quoted(value: object) -> str:
    if value is MISSING:
        return "nothing"
    if _is_number(value):
        return repr(value)
    text = str(value)
    return f"`{text[:MAX_QUOTED]}{'...' if len(text) > MAX_QUOTED else ''}`"
