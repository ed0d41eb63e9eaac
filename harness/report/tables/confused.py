"""What is shown of many classes: the most confused ones, and the worst ones; the rest is in the CSV files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harness.report.numbers.marks import marked
from harness.report.numbers.records import Estimate
from harness.report.tables.estimate_table import estimate_table
from harness.report.tables.export import export_table, marked_markdown, write_table
from harness.report.tables.scenario_tables import class_table, confusion_table

MAX_CLASSES = 12  # in one figure or table; of more the worst are shown
MAX_PAIRS = 10


def most_confused(table: pd.DataFrame, most: int = MAX_CLASSES) -> list[str]:
    """The classes of a confusion matrix that are confused with each other most often, in the order of the matrix.

    All of them where they are not more than `most`.
    """
    names = table.index.tolist()
    if len(names) <= most:
        return names
    counts = table.to_numpy(dtype=float) * (1 - np.eye(len(names)))
    chosen: list[int] = []
    for position in np.argsort(-counts, axis=None, kind="stable"):
        pair = [int(at) for at in np.unravel_index(position, counts.shape)]
        new = [at for at in pair if at not in chosen]
        if len(chosen) + len(new) <= most:
            chosen += new
        if len(chosen) == most:
            break
    return [names[at] for at in sorted(chosen)]


def confused_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """The pairs of a true and another, predicted class, most frequent first; counts are means over the repeats."""
    table = confusion_table(frame)
    names, counts = table.index.tolist(), table.to_numpy()
    rows = [
        (names[true], names[predicted], count, count / counts[true].sum())
        for (true, predicted), count in np.ndenumerate(counts)
        if true != predicted and count > 0
    ]
    pairs = pd.DataFrame(rows, columns=["true", "predicted", "count", "share of the true class"])
    return pairs.sort_values(["count", "share of the true class"], ascending=False, kind="stable", ignore_index=True)


def worst_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the classes with the lowest F1, the lowest first; all rows, as they are, of a few classes."""
    return table if len(table) <= MAX_CLASSES else table.sort_values("f1", kind="stable").head(MAX_CLASSES)


def class_lines(frame: pd.DataFrame, mark: str | None, folder: Path, name: str) -> list[str]:
    """Write the rates of all classes to NAME.csv, and return the table in Markdown; of many classes the worst ones."""
    table = marked(class_table(frame), mark)
    if len(table) <= MAX_CLASSES:
        return export_table(table, folder, name)
    write_table(table, folder, name)
    note = f"*The {MAX_CLASSES} of {len(table)} classes with the lowest F1; all of them: {name}.csv.*"
    return [*marked_markdown(worst_rows(table)), note, ""]


def interval_lines(estimates: Sequence[Estimate], folder: Path, name: str) -> list[str]:
    """Write the estimates to NAME.csv, and return the table; of many classes without those of each class."""
    table, classes = estimate_table(estimates), {e.of_class for e in estimates if e.of_class}
    if len(classes) <= MAX_CLASSES:
        return export_table(table, folder, name)
    write_table(table, folder, name)
    note = f"*Of all classes together; those of each of the {len(classes)} classes: {name}.csv.*"
    return [*marked_markdown(table[table["class"] == "all"].drop(columns="class")), note, ""]


def pair_lines(frame: pd.DataFrame, mark: str | None, folder: Path, on: str, ending: str) -> list[str]:
    """Write the confusion matrix and the confused pairs of many classes, and return the most frequent pairs.

    ON-confusion-ENDING.csv and ON-confused-ENDING.csv. Empty where the figure shows the whole matrix.
    """
    table = confusion_table(frame)
    if len(table) <= MAX_CLASSES:
        return []
    marked(table, mark).to_csv(folder / f"{on}-confusion-{ending}.csv")
    name, pairs = f"{on}-confused-{ending}", marked(confused_pairs(frame), mark)
    write_table(pairs, folder, name)
    shown = min(MAX_PAIRS, len(pairs))
    return [
        f"The {shown} most frequent confusions, of {len(pairs)} pairs of classes that were confused ({name}.csv):",
        "",
        *marked_markdown(pairs.head(MAX_PAIRS)),
    ]


def many_note(classes: int, on: str, ending: str, drawn: int) -> list[str]:
    """The caption of figures that do not show every class. drawn: the number of curves."""
    if classes <= MAX_CLASSES:
        return []
    return [
        f"*Of {classes} classes, the confusion matrix has the {MAX_CLASSES} that are confused with each other most"
        f" often, and all others as one column ({on}-confusion-{ending}.csv has all); ROC and precision-recall have the"
        f" {drawn} with the smallest area under their curve, and the range of all classes in gray.*",
        "",
    ]
