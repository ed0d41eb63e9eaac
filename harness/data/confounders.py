"""How well the metadata can be read from the images, and how well they alone tell the label: where both, shortcuts.

A network may then learn the site instead of the disease (Zech et al. 2018, PLOS Medicine 15:e1002683).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import Dataset, Rows
from harness.data.duplicates import Thumbnails
from harness.data.finding import AuditFinding
from harness.data.shift import CV_FOLDS, thumbnail_classifier
from harness.data.subgroups import MAX_GROUPS, groups_by
from harness.study import Study
from harness.study.subgroups import column_of, cuts_of

MAX_CLASSES = 2  # the largest ones, in which the metadata are read
MIN_PATIENTS = 2 * CV_FOLDS  # of a group or class: smaller ones are left out
PERMUTATIONS = 3
READABLE_AUC = 0.7
TELLING_AUC = 0.1  # above that of permuted values
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Confounder:
    """Areas under the ROC curve, cross-validated over patients; the floors are their means with permuted patients.

    read: of the groups from the thumbnails of one class, the mean over the largest classes; told: of the classes from
    the groups alone. With several groups or classes the mean of each against the rest. None with too few patients.
    """

    column: str
    within: tuple[str, ...]  # the classes in which it was read
    read: float | None
    read_floor: float | None
    told: float | None
    told_floor: float | None

    @property
    def shortcut(self) -> bool:
        """Whether a network could learn the column in place of the label."""
        return (self.read or 0) > READABLE_AUC and self.telling

    @property
    def telling(self) -> bool:
        """Whether the column alone says more of the label than permuted values do."""
        return self.told is not None and self.told - (self.told_floor or 0) > TELLING_AUC

    @property
    def words(self) -> str:
        """The finding as a sentence; empty where nothing could be measured."""
        parts, within = [], " and ".join(self.within)
        if self.read is not None:
            areas = f"AUC {self.read:.2f} (permuted {self.read_floor:.2f})"
            parts.append(f"{self.column} is read from thumbnails within {within} with {areas}")
        if self.told is not None:
            areas = f"AUC {self.told:.2f} (permuted {self.told_floor:.2f})"
            parts.append(f"{self.column} alone gives the label with {areas}")
        return ", and ".join(parts) + (": a shortcut is possible" if self.shortcut else "")


def confounder_findings(study: Study, dataset: Dataset, thumbnails: Thumbnails) -> Iterator[AuditFinding]:
    """Yield a finding for each column of the metadata. dataset: the training images, or a sample of their patients.

    thumbnails: [n, side, side]. Numbers are cut as in `subgroups`, else at their median where there are many.
    """
    cuts = {column_of(subgroup): cuts_of(subgroup) for subgroup in study.subgroups}
    many = {}
    for name in dataset.metadata:
        values = dataset.table[name]
        groups = groups_by(values, cuts.get(name, []), at_median=True)
        if groups is None:
            many[name] = values.nunique()
            continue
        if len(groups.categories) < 2:
            continue
        found = _confounder(dataset, name, groups, thumbnails)
        if found.words:
            yield AuditFinding("confounder", "warning" if found.shortcut else "note", found.words, asdict(found))
    if many:
        named = ", ".join(f"{name} ({count:,})" for name, count in many.items())
        text = f"not looked at as confounders, as text with more than {MAX_GROUPS} values: {named}"
        yield AuditFinding("confounder", "note", text, many)


def _confounder(dataset: Dataset, name: str, groups: "pd.Categorical[str]", thumbnails: Thumbnails) -> Confounder:
    codes, labels = np.asarray(groups.codes, dtype=np.int64), dataset.labels
    pixels = thumbnails.reshape(len(thumbnails), -1)
    read: dict[str, tuple[float, float]] = {}
    for index in np.argsort(-np.bincount(labels), kind="stable")[:MAX_CLASSES]:
        inside = labels == index
        found = _area_and_floor(pixels[inside], codes[inside], dataset.groups[inside])
        read |= {dataset.classes[index]: found} if found is not None else {}
    one_hot = (codes[:, None] == np.arange(len(groups.categories))).astype(np.float32)
    told = _area_and_floor(one_hot, labels, dataset.groups)
    means = np.mean([*read.values()], axis=0).tolist() if read else (None, None)
    return Confounder(name, tuple(read), *means, *(told or (None, None)))


def _area_and_floor(features: Features, target: Rows, patients: Rows) -> tuple[float, float] | None:
    """How well the target is predicted, and how well where it is permuted; None with too few patients."""
    kept = _of_enough(target, patients)
    features, target, patients = features[kept], target[kept], patients[kept]
    if len(np.unique(target)) < 2:
        return None
    rng, floors = np.random.default_rng(0), []
    for permuted in (_permuted(target, patients, rng) for _ in range(PERMUTATIONS)):
        kept = _of_enough(permuted, patients)  # where patients have several values, some have fewer now
        if len(np.unique(permuted[kept])) > 1:
            floors.append(_area(features[kept], permuted[kept], patients[kept]))
    return (_area(features, target, patients), float(np.mean(floors))) if floors else None


def _of_enough(target: Rows, patients: Rows) -> NDArray[np.bool_]:
    """The rows [n] with a value that enough patients have."""
    names, numbers = np.unique(target, return_inverse=True)
    enough = [len(np.unique(patients[target == name])) >= MIN_PATIENTS for name in names]
    return np.array(enough, dtype=bool)[numbers]


def _permuted(target: Rows, patients: Rows, rng: np.random.Generator) -> Rows:
    """The target with the values of another patient for the images of each patient, in turn where they differ."""
    _, members, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order, first = np.argsort(members, kind="stable"), np.cumsum(counts) - counts
    number = np.empty(len(members), dtype=np.int64)
    number[order] = np.arange(len(members)) - np.repeat(first, counts)  # of an image among those of its patient
    other = rng.permutation(len(counts))[members]
    return np.asarray(target[order][first[other] + number % counts[other]])


def _area(features: Features, target: Rows, patients: Rows) -> float:
    """The mean area of each value of the target against the rest, cross-validated over patients."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    from harness.data.stratified_groups import QuickStratifiedGroupKFold

    folds = QuickStratifiedGroupKFold(CV_FOLDS, shuffle=True, random_state=0)
    model = thumbnail_classifier("balanced")
    scores = cross_val_predict(model, features, target, groups=patients, cv=folds, method="predict_proba")
    return float(np.mean([roc_auc_score(target == name, scores[:, i]) for i, name in enumerate(np.unique(target))]))
