"""The predictions of stored fits, pooled over folds or averaged over models, and metrics computed from them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.stats.metrics import classification_metrics
from harness.store import Ledger
from harness.study.plan import Job
from harness.study.state import ScenarioState


def pooled(jobs: list[Job], ledger: Ledger) -> pd.DataFrame:
    """The predictions of all these jobs that are done, concatenated."""
    done = [job for job in jobs if ledger.done(job.id)]
    return pd.concat([ledger.predictions(job.id) for job in done], ignore_index=True)


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


def arrays(frame: pd.DataFrame) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    """The classes, the probabilities [n, classes] and the true class of every row [n] of a predictions table."""
    columns = [str(column) for column in frame if str(column).startswith("prob_")]
    classes = [column.removeprefix("prob_") for column in columns]
    labels = pd.Categorical(frame["label"], categories=classes).codes
    return classes, frame[columns].to_numpy(np.float64), np.asarray(labels, dtype=np.int64)


def test_metrics(state: ScenarioState, positive: str | None, ledger: Ledger) -> dict[str, float]:
    """The metrics of a scenario on the test set, as `test/<metric>`, from the mean prediction of its models."""
    classes, probabilities, labels = arrays(ensemble(pooled(list(state.jobs), ledger)))
    index = classes.index(positive) if positive else None
    return {f"test/{k}": v for k, v in classification_metrics(probabilities, labels, index).items()}
