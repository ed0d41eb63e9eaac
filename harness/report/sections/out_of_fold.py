"""What the predictions of one scenario look like: figures, classes, and the surest errors."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.data.pixels import pixel_cache
from harness.prepare import Inputs
from harness.report.figures.study import prediction_figures
from harness.report.numbers.marks import Marks, marked
from harness.report.numbers.predictions import pooled
from harness.report.sections.surest_errors import error_lines
from harness.report.tables.export import export_table
from harness.report.tables.study import class_table
from harness.store import Ledger, Store
from harness.study.plan import Scenario
from harness.study.state import ScenarioState, StageState


@dataclass(frozen=True)
class Predicted:
    """The predictions of a scenario, one of each image and repeat, and where files go: `ON-<what>-<scenario id>`."""

    scenario: Scenario
    on: str
    frame: pd.DataFrame
    mark: str | None
    folder: Path

    def name(self, what: str) -> str:
        """The name of a file about it, without its ending."""
        return f"{self.on}-{what}-{self.scenario.id}"


def winner_lines(marks: Marks, states: list[StageState], inputs: Inputs, store: Store, folder: Path) -> list[str]:
    """A part in Markdown for each scenario that a finished stage selected, on the images that its folds left out."""
    chosen = {state.best.scenario.id: state.best for state in states if state.finished and state.best}
    return [line for scenario in chosen.values() for line in _out_of_fold(marks, scenario, inputs, store, folder)]


_REPEATS = (
    " Each of the {repeats} repeats of the folds has one prediction of every image: counts and rates are computed in"
    " each and then averaged, never the predictions; each has its curve."
)
_AREA = (
    "The ROC AUC to go by is the mean over the folds, in the leaderboard: one order of all folds' scores mixes those of"
    " different models, which the curves here do."
)


def _out_of_fold(marks: Marks, state: ScenarioState, inputs: Inputs, store: Store, folder: Path) -> list[str]:
    frame, mark = pooled(list(state.jobs), Ledger(store)), marks.scenario(state.scenario.settings)
    predicted, repeats = Predicted(state.scenario, "oof", frame, mark, folder), marks.study.folds.repeats
    return [
        f"## Out of fold: {state.scenario.name}",
        "",
        *([f"**{mark}.**", ""] if mark else []),
        "Every training image as the models saw it that were not trained on it, all folds together."
        f"{_REPEATS.format(repeats=repeats) if repeats > 1 else ''} {_AREA}",
        "",
        *figure_lines(predicted, f"out of fold, {state.scenario.name}{inputs.dataset.mark}", inputs),
        *export_table(marked(class_table(frame), mark), folder, predicted.name("classes")),
        *hardest_lines(predicted, inputs, store),
    ]


def figure_lines(predicted: Predicted, title: str, inputs: Inputs) -> list[str]:
    """Confusion matrix, ROC, precision-recall and calibration in one row."""
    name = predicted.name("{}")
    positive, folder = inputs.dataset.positive, predicted.folder
    paths = prediction_figures(predicted.frame, positive, title, folder, name, True, predicted.mark)
    words = ("confusion matrix", "ROC curve", "precision against recall", "calibration")
    return [*(f"![{word}]({path.name})" for word, path in zip(words, paths, strict=True)), ""]


def hardest_lines(predicted: Predicted, inputs: Inputs, store: Store) -> list[str]:
    """The surest errors with their pictures, in the size that the scenario was trained on."""
    pixels = pixel_cache(inputs.dataset, predicted.scenario.settings.image_size, store)
    images, name = inputs.dataset.table["image"], predicted.name("hardest")
    lines = error_lines(predicted.frame, images, pixels, predicted.folder, name, predicted.mark)
    return ["### Surest errors", "", *lines]
