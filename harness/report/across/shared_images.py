"""Which images studies have in common, by their content: only on the same ones can they be compared pair by pair."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from harness.data.dataset import LEADING
from harness.data.units import unit_dataset
from harness.errors import StudyError
from harness.report.across.sides import StudySide
from harness.study.identity import digest
from harness.study.number_words import verb

SYMMETRIC = ("accuracy", "balanced_accuracy", "loss", "mcc", "brier", "ece")  # metrics that have no positive class


@dataclass(frozen=True)
class SharedImages:
    """What the studies have in common, and why not more.

    folds: the same images in the same folds. images: the same images, in other folds. nothing: other images.
    test: whether their leading test sets are of the same images, and there are some.
    """

    of: Literal["folds", "images", "nothing"]
    reason: str = ""
    test: bool = False


def shared_images(sides: Sequence[StudySide]) -> SharedImages:
    """What the images of the studies have in common.

    Raises StudyError where the same images have other classes or labels in two of the studies.
    """
    kinds, test = [], True
    for first, second in combinations(sides, 2):
        kinds.append(_of_pair(first, second))
        a, b = (_keys(side, LEADING) for side in (first, second))
        test = test and len(a) > 0 and Counter(a["key"]) == Counter(b["key"])
    weakest = next((k for of in ("nothing", "images") for k in kinds if k.of == of), kinds[0])
    return SharedImages(weakest.of, weakest.reason, test and weakest.of != "nothing")


def _of_pair(first: StudySide, second: StudySide) -> SharedImages:
    a, b = (_keys(side, "train") for side in (first, second))
    plural = first.workspace.unit.plural
    both = sum((Counter(a["key"]) & Counter(b["key"])).values())
    if both < max(len(a), len(b)):
        counts = f"{both:,} of {len(a):,} and {len(b):,} training {plural}"
        return SharedImages("nothing", f"{first.label} and {second.label} have {counts} in common")
    _require_same_labels(first, second, a, b)
    if _folds(first) == _folds(second):
        return SharedImages("folds")
    return SharedImages("images", f"{first.label} and {second.label} have the same {plural} in other folds")


def _require_same_labels(first: StudySide, second: StudySide, a: pd.DataFrame, b: pd.DataFrame) -> None:
    one, other = first.workspace.inputs.dataset, second.workspace.inputs.dataset
    if one.classes != other.classes:
        each = f"{first.label}: {', '.join(one.classes)}; {second.label}: {', '.join(other.classes)}"
        raise StudyError(
            f"the same images have other classes ({each}); numbers about the same classes are compared: give the labels"
            " the same names by data.labels, and run again"
        )
    relabelled = sum((Counter(zip(a["key"], a["label"], strict=True))
                      - Counter(zip(b["key"], b["label"], strict=True))).values())  # fmt: skip
    if relabelled:
        raise StudyError(
            f"{relabelled:,} of the {len(a):,} training {first.workspace.unit.plural} {verb(relabelled, 'has', 'have')}"
            f" another label in {second.label} than in {first.label}; numbers about the same labels are compared: run"
            " one study again with the labels of the other"
        )
    plain = first.select.metric.rpartition("/")[2]
    if one.positive != other.positive and plain not in SYMMETRIC:
        each = f"{first.label}: {one.positive}; {second.label}: {other.positive}"
        raise StudyError(f"{plain} is about another positive class ({each}); name another one: --metric val/accuracy")


def _keys(side: StudySide, split: str) -> pd.DataFrame:
    """The images of a split, or the patients where they are the unit: image (the name), label and key (the content).

    Images with the same content are numbered; the content of a patient is that of all images.
    """
    workspace = side.workspace
    table = workspace.inputs.dataset.table
    table = table[table["split"] == split].sort_values("image", kind="stable")
    if workspace.unit.patients:
        contents = table.groupby("patient")["sha256"].agg(lambda hashes: digest(sorted(hashes)))
        rows = unit_dataset(workspace.inputs.dataset, workspace.unit).table
        rows = rows[rows["split"] == split]
        return pd.DataFrame(
            {"image": rows["image"], "label": rows["label"], "key": rows["image"].map(contents).astype(str)}
        )
    number = table.groupby(["sha256", "label"]).cumcount().astype(str)
    return pd.DataFrame({"image": table["image"], "label": table["label"], "key": table["sha256"] + "-" + number})


def keyed(side: StudySide, frame: pd.DataFrame, split: str) -> pd.DataFrame:
    """Predictions with the content of each image in place of its name, which may differ between the studies."""
    keys = _keys(side, split).set_index("image")["key"]
    return frame.assign(image=frame["image"].map(keys))


def _folds(side: StudySide) -> list[Any]:
    """The content of the training and validation images of every fold, in the order of the fits."""
    inputs = side.workspace.inputs
    hashes = inputs.dataset.table["sha256"].to_numpy()
    return [
        (fold.repeat, fold.fold, sorted(hashes[fold.train]), sorted(hashes[fold.validation])) for fold in inputs.folds
    ]
