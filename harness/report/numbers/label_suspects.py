"""The training images whose labels are probably wrong, by every out-of-fold prediction that a study has of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.report.numbers.predictions import Predictions, by_repeat
from harness.stats.arrays import arrays
from harness.stats.label_quality import label_quality
from harness.study.scenario_state import ScenarioState
from harness.study.state import StudyState

SUGGESTED, CORRECTED = "suggested_label", "corrected_label"  # columns; a reader fills the second one


@dataclass(frozen=True)
class LabelSuspects:
    """What a study says of the labels of its training images.

    table: a row for each suspect, the worst first. noise: a row for each pair of a given and another class, with the
    estimated number of its images. scenarios, repeats: how many predicted each of `images` images.
    """

    table: pd.DataFrame
    noise: pd.DataFrame
    images: int
    scenarios: int
    repeats: int


def label_suspects(state: StudyState, predictions: Predictions) -> LabelSuspects:
    """Find the suspects by the predictions of every finished scenario that does not leak, in every repeat.

    All are out of fold, of training images: the test set is not read. Raises HarnessError where nothing is finished,
    or cleanlab is not installed.
    """
    clean = [each for each in state.scenarios if each.finished and not each.settings.leaks]
    if not clean:
        raise HarnessError("no scenario is finished whose training saw no image that it predicts; first: harness run")
    parts = [part.set_index("image") for scenario in clean for part in _predicted(scenario, predictions)]
    first = parts[0].reset_index()
    classes, _, labels = arrays(first)
    members = [arrays(part.loc[first["image"]])[1] for part in parts]
    quality = label_quality(labels, members)
    counts = np.bincount(labels, minlength=len(classes))
    noise = _noise(classes, quality.joint * len(labels), counts)
    table = _suspects(first, classes, members, quality.scores, quality.probabilities)[quality.suspect]
    table = table.sort_values(["label_quality", "image"], ignore_index=True)
    return LabelSuspects(table, noise, len(first), len(clean), len(parts) // len(clean))


def _predicted(scenario: ScenarioState, predictions: Predictions) -> Iterator[pd.DataFrame]:
    """Yield the predictions of each repeat of the folds."""
    yield from by_repeat(predictions.out_of_fold(scenario))


def _suspects(
    frame: pd.DataFrame, classes: list[str], members: list[NDArray[np.float64]],
    scores: NDArray[np.float64], mean: NDArray[np.float64],
) -> pd.DataFrame:  # fmt: skip
    """A row for every image: its label, what the models suggest, and how sure they are."""
    labels = np.array([classes.index(label) for label in frame["label"]])
    others = mean.copy()
    others[np.arange(len(labels)), labels] = -1
    suggested = others.argmax(axis=1)
    table = pd.DataFrame(
        {
            "image": frame["image"],
            "patient": frame["patient"],
            "label": frame["label"],
            SUGGESTED: np.array(classes)[suggested],
            "label_quality": scores,
            "probability": others.max(axis=1),
            "predicted_otherwise": sum((each.argmax(axis=1) != labels).astype(int) for each in members),
            "predictions": len(members),
            CORRECTED: "",
        }
    )
    return table.drop(columns="patient") if (table["patient"] == table["image"]).all() else table


def _noise(classes: list[str], joint: NDArray[np.float64], counts: NDArray[np.int64]) -> pd.DataFrame:
    """The estimated number of images of each given class that are of each other one, the most first."""
    rows = [
        {"given": given, "truly": true, "images": joint[i, j], "share of given": joint[i, j] / counts[i]}
        for i, given in enumerate(classes)
        for j, true in enumerate(classes)
        if i != j
    ]
    return pd.DataFrame(rows).sort_values("images", ascending=False, kind="stable", ignore_index=True)
