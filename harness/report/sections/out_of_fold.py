"""The predictions of one scenario: figures, rates of each class, and the surest errors."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from harness.data.dataset import Dataset
from harness.data.inputs import Workspace
from harness.data.pictures import picture
from harness.report.draft import Draft
from harness.report.figures.class_curves import MAX_CURVES
from harness.report.figures.scenario_figures import prediction_figures
from harness.report.sections.surest_errors import error_lines, patient_error_lines
from harness.report.tables.confused import class_lines, many_note, pair_lines
from harness.study.plan import Scenario
from harness.study.scenario_state import ScenarioState
from harness.study.unit import Unit


@dataclass(frozen=True)
class Predicted:
    """The predictions of a scenario for each image and repeat, and where its files go: `ON-<what>-<scenario id>`.

    unit: what a row of the frame is about.
    """

    scenario: Scenario
    on: str
    frame: pd.DataFrame
    mark: str | None
    folder: Path
    unit: Unit

    def name(self, what: str) -> str:
        """The name of a file about these predictions, without its suffix."""
        return f"{self.on}-{what}-{self.scenario.id}"


def winner_lines(draft: Draft) -> list[str]:
    """A section in Markdown for each scenario that a finished stage selected, on its out-of-fold predictions."""
    chosen = {stage.best.id: stage.best for stage in draft.state.stages if stage.finished and stage.best}
    return [line for scenario in chosen.values() for line in _out_of_fold(draft, scenario)]


_REPEATS_NOTE = (
    " Each of the {repeats} repeats of the folds has one prediction for every {unit}: counts and rates are computed in"
    " each repeat and then averaged; predictions are never averaged. Calibration has a curve for each repeat."
)
_AREA_NOTE = (
    "ROC and precision-recall curves are those within each fold, whose models have scales of their own; the thick ROC"
    " curve is their mean."
)


def _out_of_fold(draft: Draft, state: ScenarioState) -> list[str]:
    frame, mark, unit = draft.predictions.out_of_fold(state), draft.marks.scenario(state.settings), draft.unit
    predicted, repeats = Predicted(state.scenario, "oof", frame, mark, draft.folder, unit), draft.study.folds.repeats
    return [
        f"## Out of fold: {unit.titled(state.name)}",
        "",
        *([f"**{own}.**", ""] if (own := draft.marks.own(mark)) else []),
        f"Every training {unit.name} is predicted by the models that were not trained on it; all folds together."
        f"{_REPEATS_NOTE.format(repeats=repeats, unit=unit.name) if repeats > 1 else ''} {_AREA_NOTE}",
        "",
        *figure_lines(predicted, unit.titled(f"out of fold, {state.name}"), draft.dataset),
        *class_lines(frame, mark, draft.folder, predicted.name("classes")),
        *hardest_lines(predicted, draft.workspace),
    ]


def figure_lines(predicted: Predicted, title: str, dataset: Dataset) -> list[str]:
    """Draw confusion matrix, ROC, precision-recall and calibration, in one row of the page; of many classes the worst.

    Of many classes, the tables of their confusions are written too.
    """
    name = predicted.name("{}")
    positive, folder = dataset.positive, predicted.folder
    paths = prediction_figures(predicted.frame, positive, title, folder, name, True, predicted.mark)
    words = ("confusion matrix", "ROC curve", "precision against recall", "calibration")
    on, ending = predicted.on, predicted.scenario.id
    return [
        *(f"![{word}]({path.name})" for word, path in zip(words, paths, strict=True)),
        "",
        *many_note(len(dataset.classes), on, ending, MAX_CURVES),
        *pair_lines(predicted.frame, predicted.mark, folder, on, ending),
    ]


def hardest_lines(predicted: Predicted, workspace: Workspace) -> list[str]:
    """The section on the surest errors with their pictures, in the size that the scenario was trained on.

    Patients have no picture.
    """
    if predicted.unit.patients:
        return [
            "### Surest errors",
            "",
            *patient_error_lines(predicted.frame, predicted.folder, predicted.name("hardest"), predicted.mark),
        ]
    dataset = workspace.inputs.dataset
    picture_of = partial(picture, dataset, predicted.scenario.settings.framing, workspace.store)
    images, name = dataset.table["image"], predicted.name("hardest")
    lines = error_lines(predicted.frame, images, picture_of, predicted.folder, name, predicted.mark)
    return ["### Surest errors", "", *lines]
