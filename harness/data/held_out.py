"""Hold a part of the images out as a test set, where the data come without one."""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import connected
from harness.errors import DataError
from harness.study.identity import derive_seed
from harness.study.set_block import HeldOut
from harness.study.strict_yaml import FieldPath

FIELD: FieldPath = ("data", "test")


def with_test_set(images: pd.DataFrame, spec: HeldOut, patients_known: bool) -> pd.DataFrame:
    """Move a share of the training images to the split test: whole patients and identical files, by class.

    images: the columns split, label, patient and sha256. patients_known: whether anything says who the patients are.
    Raises DataError where there is a test set already, and where a class would be missing on a side.
    """
    if (images["split"] == "test").any():
        raise DataError("the images have a test set of their own; remove data.test, or move test/ away", FIELD)
    chosen = drawn(images, spec, patients_known)
    return images.assign(split=np.where(chosen, "test", images["split"]))


def drawn(
    images: pd.DataFrame, spec: HeldOut, patients_known: bool, field: FieldPath = FIELD, alike: pd.Series | None = None
) -> pd.Series:
    """Which of these images are held out; field: the one in the study file that asks for it.

    alike: the group of each image whose images stay together, besides those of a patient and identical files.
    Raises DataError where a class would be missing on a side.
    """
    if spec.by == "patient" and not patients_known:
        raise DataError(
            "`by: patient` needs a rule that finds the patients: data.patient; without one write `by: image`, which may"
            " put a patient on both sides",
            (*field, "by"),
        )
    ordered = images.sort_values("image")  # the same images are drawn in whatever order a table has them
    together = [] if alike is None else [alike.reindex(ordered.index)]
    groups = connected(ordered["patient" if spec.by == "patient" else "image"], ordered["sha256"], *together)
    chosen = pd.Series(_chosen(groups, ordered["label"].tolist(), spec), ordered.index).reindex(images.index)
    for label, of_class in chosen.groupby(images["label"]):
        if of_class.all() or not of_class.any():
            side = "training" if of_class.all() else "the test set"
            raise DataError(
                f"a share of {spec.share:g} leaves {side} without {label}; use another share or seed", field
            )
    return chosen


def _chosen(groups: NDArray[np.int64], labels: Sequence[str], spec: HeldOut) -> NDArray[np.bool_]:
    """Which images are held out, [n]: groups in random order, each where it brings the classes closer to their share.

    groups: [n]. labels: [n].
    """
    found: dict[int, Counter[str]] = {}
    for group, label in zip(groups.tolist(), labels, strict=True):
        found.setdefault(group, Counter())[label] += 1
    order = list(found)
    random.Random(derive_seed("held-out", spec.seed)).shuffle(order)
    counts = Counter(labels)
    lacking = {label: spec.share * count for label, count in counts.items()}
    held: set[int] = set()
    for group in order:
        gain = sum(
            (abs(lacking[label]) - abs(lacking[label] - count)) / counts[label] for label, count in found[group].items()
        )
        if gain > 0:
            held.add(group)
            for label, count in found[group].items():
                lacking[label] -= count
    return np.isin(groups, list(held))
