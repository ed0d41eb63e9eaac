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
    """The name of what is scored on the test set: the scenario's first refit, or the ensemble of its fold models."""
    name, models = test.name, len(test.jobs)
    if test.refits is not None:
        return f"{name}, refit 1 of {len(test.scored_jobs)}"
    return name if models == 1 else f"{name}, ensemble of {models} fold models"


def averaged(test: ScenarioState) -> str:
    """The name of what the numbers on the test set are about: as above, or the mean of the refits that are done."""
    if test.refits is None:
        return scored(test)
    done, asked = sum(len(state.records) for state in test.with_refits), len(test.scored_jobs)
    return f"{test.name}, mean of {done}{f' of {asked}' if done < asked else ''} refits"


def by_repeat(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The predictions of each repeat of the folds, a row for each image, all with the images in the same order.

    Out-of-fold metrics are computed in each repeat and then averaged. Probabilities must not be averaged: their mean
    over repeats would be the prediction of an ensemble. A table without the column `repeat` counts as one repeat.
    (Folds that leak score some images more than once in a repeat.)
    """
    if "repeat" not in frame:
        return [frame]
    first, *others = (_one_repeat(part) for _, part in frame.groupby("repeat"))
    return [first, *(part.set_index("image").loc[first["image"]].reset_index() for part in others)]


def _one_repeat(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each image of a repeat, with its fold; of an image that folds which leak score twice the first one."""
    found = ensemble(frame)
    if "fold" not in frame:
        return found
    folds = frame.drop_duplicates("image").set_index("image")["fold"]
    return found.assign(fold=folds[found["image"]].to_numpy())


def by_fold(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The predictions of each model: of every fold in every repeat, or of every refit; a row for each image."""
    keys = [name for name in ("repeat", "fold") if name in frame]
    parts = [part for _, part in frame.groupby(keys, dropna=False)] if keys else [frame]
    return [part if part["image"].is_unique else ensemble(part) for part in parts]


def refit_numbers(frame: pd.DataFrame) -> list[int]:
    """The numbers of the refits in predictions on a test set, in the order of `by_repeat`; the first is 1."""
    return [int(number) + 1 for number in sorted(frame["repeat"].unique())] if "repeat" in frame else [1]


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

    def of_refits(self, state: ScenarioState, test_set: str | None = None) -> pd.DataFrame:
        """Those of every refit that is done, told apart by `repeat`; of what is not refitted again, `on_test`."""
        if state.refits is None:
            return self.on_test(state, test_set)
        done = [job for job in state.scored_jobs if self.ledger.done(job.id)]

        def read() -> pd.DataFrame:
            each = [self.ledger.predictions(job.id, test_set).assign(repeat=job.refit) for job in done]
            return pd.concat(each, ignore_index=True)

        return self._once(("refits", test_set, *(job.id for job in done)), read)

    def metrics(self, frame: pd.DataFrame) -> dict[str, float]:
        """The metrics of predictions of one model."""
        classes, probabilities, labels = arrays(frame)
        index = classes.index(self.positive) if self.positive else None
        return classification_metrics(probabilities, labels, index) | self.ledger.own.of(frame)


def refit_metrics(
    state: ScenarioState, predictions: Predictions, test_set: str | None = None
) -> dict[int, dict[str, float]]:
    """The metrics on a test set of each refit that is done, by its number; the first is 1."""
    frame = predictions.of_refits(state, test_set)
    return dict(zip(refit_numbers(frame), map(predictions.metrics, by_repeat(frame)), strict=True))


def test_metrics(state: ScenarioState, predictions: Predictions, test_set: str | None = None) -> dict[str, float]:
    """The metrics of a scenario on the test set, as `test/<metric>`, from the mean prediction of its models.

    test_set: one that is not the leading one; its metrics are called `test/<name of the set>/<metric>`.
    """
    start = "test" if test_set is None else f"test/{test_set}"
    return {f"{start}/{k}": v for k, v in predictions.metrics(predictions.on_test(state, test_set)).items()}
