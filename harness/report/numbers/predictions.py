"""The predictions of stored fits, pooled over folds or averaged over models, and metrics computed from them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.stats.own_metrics import OwnMetric
from harness.store import Ledger
from harness.study.plan import Job
from harness.study.scenario_state import ScenarioState
from harness.study.unit import BY_IMAGE, Unit


def pooled(jobs: list[Job], ledger: Ledger, test_set: str | None = None) -> pd.DataFrame:
    """The predictions of all these jobs that are done, concatenated. test_set: one that is not the leading one."""
    done = [job for job in jobs if ledger.done(job.id)]
    return pd.concat([ledger.predictions(job.id, test_set) for job in done], ignore_index=True)


def ensemble(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each image: the mean of its probabilities over the models that scored it.

    On the test set that is the model of `model: folds`. Out of fold it would be no model of the study: see by_repeat.
    """
    probabilities = [column for column in frame if str(column).startswith("prob_")]
    return frame.groupby(["image", "patient", "label"], as_index=False, sort=False)[probabilities].mean()


def scored(test: ScenarioState) -> str:
    """The name of what is scored on the test set: the scenario's refit, or the ensemble of its fold models."""
    name, models = test.name, len(test.jobs)
    return name if models == 1 else f"{name}, ensemble of {models} fold models"


def by_repeat(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The predictions of each repeat of the folds, a row for each image, all with the images in the same order.

    Out-of-fold metrics are computed in each repeat and then averaged. Probabilities must not be averaged: their mean
    over repeats would be the prediction of an ensemble. A table without the column `repeat` counts as one repeat.
    (Folds that leak score some images more than once in a repeat.)
    """
    if "repeat" not in frame:
        return [frame]
    first, *others = (ensemble(part) for _, part in frame.groupby("repeat"))
    return [first, *(part.set_index("image").loc[first["image"]].reset_index() for part in others)]


MOST_KEPT = 16  # tables; the sections of a report ask for those of the same few scenarios again and again


@dataclass(frozen=True)
class Predictions:
    """The predictions of stored fits in one unit: a row for each image, or for each patient.

    The last tables are kept, so an object lives as long as one report, in which no fit is added.
    """

    ledger: Ledger
    positive: str | None  # the class
    unit: Unit = BY_IMAGE
    _kept: dict[tuple[str | None, ...], pd.DataFrame] = field(default_factory=dict, compare=False, repr=False)

    @property
    def own(self) -> tuple[OwnMetric, ...]:
        """The metrics of the user's own."""
        return self.ledger.own.metrics

    def out_of_fold(self, state: ScenarioState) -> pd.DataFrame:
        """Those of the fits of a scenario that are done, on their validation images; every repeat of the folds."""
        return self._once(("folds", state.id), lambda: pooled(list(state.jobs), self.ledger))

    def on_test(self, state: ScenarioState, test_set: str | None = None) -> pd.DataFrame:
        """The mean prediction of the models that were scored on the test set; patients are combined from it.

        test_set: one that is not the leading one.
        """
        key = ("test", test_set, *(job.id for job in state.jobs))
        return self._once(key, lambda: ensemble(pooled(list(state.jobs), self.ledger, test_set)))

    def _once(self, key: tuple[str | None, ...], read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The table in the unit, read the first time; a copy of its own for each caller, of the same arrays."""
        if key not in self._kept:
            if len(self._kept) == MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self.unit.of(read())
        return self._kept[key].copy(deep=False)


def test_metrics(state: ScenarioState, predictions: Predictions, test_set: str | None = None) -> dict[str, float]:
    """The metrics of a scenario on the test set, as `test/<metric>`, from the mean prediction of its models.

    test_set: one that is not the leading one; its metrics are called `test/<name of the set>/<metric>`.
    """
    frame = predictions.on_test(state, test_set)
    classes, probabilities, labels = arrays(frame)
    index = classes.index(predictions.positive) if predictions.positive else None
    start = "test" if test_set is None else f"test/{test_set}"
    found = classification_metrics(probabilities, labels, index) | predictions.ledger.own.of(frame)
    return {f"{start}/{k}": v for k, v in found.items()}
