"""The figures of a report one by one, for notebooks: each returns its axes, to be changed and saved as one likes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.data.dataset import Dataset
from harness.errors import StudyError
from harness.report.figures import scenario_figures as figures
from harness.report.figures.class_curves import draw_pr, draw_roc
from harness.report.figures.confusion import draw_confusion
from harness.report.figures.drawing import watermark
from harness.report.figures.intervals import draw_scenario_intervals
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.marks import Marks, together
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Estimate
from harness.report.tables.scenario_tables import ranked_by
from harness.study.messages import unknown
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState, StudyState, find_scenario
from harness.study.types import BUILT_IN, plain_metric

PREDICTED = (OUT_OF_FOLD, TEST)  # where a scenario predicts


@dataclass(frozen=True)
class Plots:
    """The figures of a study's results. estimates: the study's, computed when they are first drawn.

    stage: by default the last one that has fits. scenario: its name or id; by default the one selected by that stage.
    on: `out of fold`, or the `test set`.
    """

    state: StudyState
    marks: Marks
    dataset: Dataset
    predictions: Predictions
    estimates: Callable[[], Sequence[Estimate]]

    def curves(self, stage: str | None = None, metric: str | None = None) -> Axes:
        """A validation metric by epoch of each scenario: the mean over the folds, and their range."""
        state = self._stage(stage)
        begun = [scenario for scenario in state.scenarios if scenario.records]
        ranked = plain_metric(ranked_by(state.stage))
        metric = metric or (ranked if ranked in BUILT_IN else "val/loss")
        known = [name for name in next(iter(begun[0].records.values())).history[0] if name.startswith("val/")]
        if metric not in known:
            raise StudyError(unknown("metric", metric, known))
        figure = figures.draw_validation_curves(begun, metric, self._title(state))
        return self._marked(figure, self._mark(begun))[0]

    def intervals(self, stage: str | None = None) -> list[Axes]:
        """Accuracy and ROC AUC of each finished scenario out of fold, with 95 % intervals; axes for each metric."""
        state = self._stage(stage)
        done = [scenario for scenario in state.scenarios if scenario.finished]
        if not done:
            raise StudyError(f"stage {state.stage.name}: no scenario is finished yet; first run: harness run STUDY")
        figure = draw_scenario_intervals(self.estimates(), [s.name for s in done], self._title(state))
        return self._marked(figure, self._mark(done))

    def confusion(self, scenario: str | None = None, on: str = OUT_OF_FOLD) -> Axes:
        """The confusion matrix: counts, and shares of each true class."""
        frame, title, mark = self._predicted(scenario, on)
        return self._marked(draw_confusion(frame, title), mark)[0]

    def roc(self, scenario: str | None = None, on: str = OUT_OF_FOLD) -> Axes:
        """The ROC curve of the positive class, or of each class against the rest."""
        frame, title, mark = self._predicted(scenario, on)
        return self._marked(draw_roc(frame, self.dataset.positive, title), mark)[0]

    def pr(self, scenario: str | None = None, on: str = OUT_OF_FOLD) -> Axes:
        """Precision against recall of the positive class, or of each class."""
        frame, title, mark = self._predicted(scenario, on)
        return self._marked(draw_pr(frame, self.dataset.positive, title), mark)[0]

    def calibration(self, scenario: str | None = None, on: str = OUT_OF_FOLD) -> Axes:
        """Accuracy against the confidence of the predicted class."""
        frame, title, mark = self._predicted(scenario, on)
        return self._marked(figures.draw_calibration(frame, title), mark)[0]

    def _stage(self, name: str | None) -> StageState:
        begun = [s for s in self.state.stages if any(scenario.records for scenario in s.scenarios)]
        found = [s for s in begun if name in (None, s.stage.name)]
        if not found:
            raise StudyError(unknown("stage", str(name), [s.stage.name for s in begun]))
        return found[-1]

    def _predicted(self, name: str | None, on: str) -> tuple[pd.DataFrame, str, str | None]:
        """The predictions of a scenario, their title and their mark."""
        if on not in PREDICTED:
            raise StudyError(f"predictions on {on!r}; allowed: {', '.join(PREDICTED)}")
        stage = self._stage(None)
        scenario = find_scenario(self.state, name) if name is not None else stage.best or stage.scenarios[0]
        title = self.predictions.unit.titled(f"{on}, {scenario.name}")
        if on == OUT_OF_FOLD and scenario.records:
            return self.predictions.out_of_fold(scenario), title, self.marks.scenario(scenario.settings)
        test = next((test for test in self.state.tests if test.id == scenario.id and test.finished), None)
        if on == OUT_OF_FOLD or test is None:
            raise StudyError(f"{scenario.name} has no predictions {on} yet; first run: harness run STUDY")
        mark = self.marks.test(self.dataset, test.settings, self.predictions.ledger)
        return self.predictions.on_test(test), title, mark

    def _title(self, state: StageState) -> str:
        return self.predictions.unit.titled(f"{self.marks.study.study}, stage {state.stage.name}")

    def _mark(self, scenarios: Sequence[ScenarioState]) -> str | None:
        return together(self.marks.scenario(scenario.settings) for scenario in scenarios)

    @staticmethod
    def _marked(figure: Figure, mark: str | None) -> list[Axes]:
        """The axes of the figure, which has its mark across it."""
        watermark(figure, mark)
        return list(figure.axes)
