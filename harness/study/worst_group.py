"""The metrics of the worst group: the group of `subgroups` whose mean over the folds is worst."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.stats.paired import Test, corrected_t
from harness.study.metric_steps import COUNTED, ORDERED, metric_step
from harness.study.types import higher_is_better, plain_metric

if TYPE_CHECKING:
    import pandas as pd

MIN_IMAGES = 10  # training images, of each class where the metric needs the classes: with fewer a group takes no part
OF_CLASSES = (*COUNTED[1:], *ORDERED)  # the metrics that images of all classes are needed for
At = tuple[int, int | None]  # repeat and fold
Counts = NDArray[np.int64]  # [classes] the images of each class


@dataclass(frozen=True)
class WorstGroup:
    """The group that is worst by a metric: the value in each fold that has its images, and the metric's least step."""

    group: str
    values: Mapping[At, float]
    step: float

    @property
    def mean(self) -> float:
        """The mean over the folds that have images of the group."""
        return mean(self.values.values())

    @property
    def summary(self) -> dict[str, float]:
        """The mean and the standard deviation over the folds, by their endings in the names of MLflow."""
        values = list(self.values.values())
        return {"_mean": self.mean} | ({"_std": stdev(values)} if len(values) > 1 else {})


@dataclass(frozen=True)
class ImageGroups:
    """The training images (or patients, where they are the unit) of each group by its name, such as `sex = F`."""

    images: Mapping[str, frozenset[str]]
    positive: str | None

    def worst(self, metric: str, predictions: "Mapping[At, pd.DataFrame]") -> WorstGroup | None:
        """The worst group by `worst-group val/<metric>`; None where no group takes part.

        predictions: of the validation images of each fold.
        """
        groups = [self._over_folds(name, metric, predictions) for name in self.images]
        found = [group for group in groups if group is not None]
        sign = 1 if higher_is_better(metric) else -1
        return min(found, key=lambda group: sign * group.mean, default=None)

    def in_folds(self, name: str, metric: str, predictions: "Mapping[At, pd.DataFrame]") -> "dict[At, pd.DataFrame]":
        """The predictions of a group in the folds where the metric is defined on it; empty where it takes no part."""
        parts = {at: frame[frame["image"].isin(self.images[name])] for at, frame in predictions.items()}
        counts = {at: _counts(part) for at, part in parts.items()}
        if not takes_part(metric, [images for (repeat, _), images in counts.items() if repeat == 0]):
            return {}
        return {at: part for at, part in parts.items() if _has_metric(metric, counts[at])}

    def _over_folds(self, name: str, metric: str, predictions: "Mapping[At, pd.DataFrame]") -> WorstGroup | None:
        """A group over the folds; None where it takes no part."""
        parts = self.in_folds(name, metric, predictions)
        if not parts:
            return None
        plain, values = plain_metric(metric).removeprefix("val/"), {}
        for at, part in parts.items():
            classes, probabilities, labels = arrays(part)
            positive = classes.index(self.positive) if self.positive else None
            values[at] = classification_metrics(probabilities, labels, positive)[plain]
        counts = np.mean([_counts(part) for part in parts.values()], axis=0)
        return WorstGroup(name, values, metric_step(plain, counts.tolist()))


def _counts(frame: "pd.DataFrame") -> Counts:
    """The images of each class."""
    classes, _, labels = arrays(frame)
    return np.bincount(labels, minlength=len(classes))


def _has_metric(metric: str, images: Counts) -> bool:
    """Whether a metric is defined on so many images of each class."""
    return bool(images.all() if _of_classes(metric) else images.any())


def _of_classes(metric: str) -> bool:
    return plain_metric(metric).removeprefix("val/") in OF_CLASSES


def takes_part(metric: str, in_folds: Sequence[Counts]) -> bool:
    """Whether a group with so many validation images of each class in the folds of one repeat takes part."""
    total = np.sum(in_folds, axis=0)
    return bool(
        (total.min() if _of_classes(metric) else total.sum()) >= MIN_IMAGES
        and any(_has_metric(metric, images) for images in in_folds)
    )


def needed_words(metric: str, unit: str = "images") -> str:
    """What a group needs to take part. unit: images or patients."""
    return f"{MIN_IMAGES} training {unit}" + (" of each class, all of them in one fold" if _of_classes(metric) else "")


def worst_group_test(first: WorstGroup, second: WorstGroup, val_to_train: float) -> Test:
    """The corrected resampled t-test of two worst groups over their folds.

    Groups that are in different folds have no pairs: then p is 1 and the interval is infinite.
    """
    if first.values.keys() != second.values.keys():
        return Test(first.mean - second.mean, -np.inf, np.inf, 1.0)
    differences = [first.values[at] - second.values[at] for at in first.values]
    return corrected_t(differences, val_to_train, max(first.step, second.step))
