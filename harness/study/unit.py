"""The unit of a study: what one prediction is about, an image, or a patient whose images are combined."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.stats.own_metrics import NO_OWN, OwnScores

if TYPE_CHECKING:
    import pandas as pd

UnitName = Literal["image", "patient"]
Combine = Literal["mean", "max", "noisy-or"]
PATIENT_METRICS = "patient "  # before a metric of patients in MLflow: `patient val/accuracy_mean`


@dataclass(frozen=True)
class Unit:
    """What one row of a table of predictions is about.

    positive: the class that `max` and `noisy-or` are about. left_out: the patients with images of several classes.
    """

    name: UnitName = "image"
    combine: Combine = "mean"
    positive: str | None = None
    left_out: frozenset[str] = frozenset()

    @property
    def patients(self) -> bool:
        """Whether one prediction is about a patient."""
        return self.name == "patient"

    @property
    def plural(self) -> str:
        """What is counted."""
        return f"{self.name}s"

    @property
    def words(self) -> str:
        """The unit as a reader sees it, with how images are combined."""
        return f"patient, the images of a patient combined by {self.combine}" if self.patients else "image"

    def titled(self, title: str) -> str:
        """The title of a figure or a section, which names the unit where that is the patient."""
        return f"{title}, by patient" if self.patients else title

    def of(self, predictions: "pd.DataFrame") -> "pd.DataFrame":
        """The predictions of this unit, from those of images.

        Of patients: a row for each patient in each fold and repeat, in the order of their first images, with the
        patient as `image`. The probability of the positive class is the mean or the maximum of that of the images, or
        by noisy-or that of at least one positive image, were they independent: 1 - prod(1 - p) (Pearl 1988,
        Probabilistic Reasoning in Intelligent Systems, section 4.3).
        """
        if not self.patients:
            return predictions
        columns = [str(column) for column in predictions if str(column).startswith("prob_")]
        keys = [column for column in ("fold", "repeat") if column in predictions]
        positive = f"prob_{self.positive}"
        kept = predictions[~predictions["patient"].isin(self.left_out)]
        if self.combine == "noisy-or":
            kept = kept.assign(none=1 - kept[positive])
        each = kept.groupby(["patient", *keys], sort=False, dropna=False)
        found = each.agg(label=("label", "first"), images=("image", "size"))
        if self.combine == "mean":
            found[columns] = each[columns].mean()
        else:
            (other,) = (column for column in columns if column != positive)
            found[positive] = each[positive].max() if self.combine == "max" else 1 - each["none"].prod()
            found[other] = 1 - found[positive]
        found = found.reset_index()
        return found.assign(image=found["patient"])[["image", "patient", "label", "images", *keys, *columns]]


BY_IMAGE = Unit()


@dataclass(frozen=True)
class UnitScores:
    """The validation metrics of one fit in another unit than the image, and the number of each class that they are of.

    metrics: under the names of those of images, `val/accuracy`.
    """

    metrics: dict[str, float]
    counts: tuple[int, ...]


def unit_scores(unit: Unit, predictions: "pd.DataFrame", positive: str | None, own: OwnScores = NO_OWN) -> UnitScores:
    """The metrics of the predictions of a fit on its validation images, in this unit."""
    frame = unit.of(predictions)
    classes, probabilities, labels = arrays(frame)
    metrics = classification_metrics(probabilities, labels, classes.index(positive) if positive else None)
    metrics |= own.of(frame)
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    return UnitScores({f"val/{name}": value for name, value in metrics.items()}, tuple(counts))
