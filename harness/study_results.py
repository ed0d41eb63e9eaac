"""The results of a study as tables, for Python and notebooks. No table needs torch or MLflow."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import LOG, StudyError
from harness.study.number_words import number_of

if TYPE_CHECKING:
    import pandas as pd

    from harness.data.inputs import Workspace
    from harness.report.figures.plots import Plots
    from harness.report.numbers.marks import Marks
    from harness.report.numbers.predictions import Predictions
    from harness.report.numbers.records import Statistics
    from harness.study.state import StudyState

WHERE = ("out of fold", "test set")


@dataclass(frozen=True)
class Results:
    """The results of a study as tables: one row an observation, one column a factor, and why numbers are marked.

    failed: the number of fits that failed in the run that gave these results.
    """

    workspace: "Workspace"
    state: "StudyState"
    failed: int = 0

    def __repr__(self) -> str:
        done = number_of(len(self.state.records), "fit")
        missing = len({job.id for fit in self.state.fits for job in fit.missing})
        return f"<results of {self.workspace.study.study}: {done} done, {missing} missing, {self.failed} failed>"

    @property
    def study_id(self) -> str:
        """The id of the study: the tag `harness.study_id` of its runs in MLflow."""
        return self.workspace.identity

    def scenarios(self) -> "pd.DataFrame":
        """A row for each scenario of each stage: mean and SD of each metric over the folds, costs, the selected one."""
        from harness.report.tables.tidy import scenario_table

        return scenario_table(self.workspace.study, self.state, self._marks)

    def folds(self) -> "pd.DataFrame":
        """A row for each fit on a fold, with its metrics."""
        from harness.report.tables.tidy import fold_table

        return fold_table(self.workspace.study, self.state, self._marks)

    def epochs(self) -> "pd.DataFrame":
        """A row for each epoch of each fit on a fold, with its metrics."""
        from harness.report.tables.tidy import epoch_table

        return epoch_table(self.workspace.study, self.state, self._marks)

    def predictions(self, on: str = "out of fold") -> "pd.DataFrame":
        """A row for each prediction: `out of fold` of all scenarios, or on the `test set` of those scored there.

        On the test set it is the mean of the models that were scored; of several refits each has its rows, numbered
        from 0 in `repeat`. Where patients are the unit, rows are patients.
        """
        from harness.report.tables.tidy import prediction_table

        marks, inputs, ledger = self._marks, self.workspace.inputs, self.workspace.ledger
        if on not in WHERE:
            raise StudyError(f"predictions on {on!r}; allowed: {', '.join(WHERE)}")
        study, predicted = self.workspace.study, self._predictions
        if on == "test set":
            tests = [test for test in self.state.tests if test.finished]
            mark_of = lambda s: marks.test(inputs.dataset, s.settings, ledger)  # noqa: E731
            return prediction_table(study, tests, predicted.of_refits, mark_of)
        begun = [scenario for scenario in self.state.scenarios if scenario.records]
        return prediction_table(study, begun, predicted.out_of_fold, lambda s: marks.scenario(s.settings))

    def estimates(self) -> "pd.DataFrame":
        """A row for each number of the report, with its 95 % interval; `on` says of which images it is."""
        from harness.report.tables.tidy import estimate_rows

        return estimate_rows(self.workspace.study, self.state, self.statistics.estimates)

    def comparisons(self) -> "pd.DataFrame":
        """A row for each test of the report, first minus second, with its interval, p and verdicts."""
        from harness.report.tables.tidy import comparison_rows

        return comparison_rows(self.statistics.comparisons)

    def compare(self, first: str, second: str) -> "pd.DataFrame":
        """One row: the recipes of two scenarios, by name or id, compared over the folds of the first stage with both.

        The test, the metric and the margin are those of that stage; p is adjusted for all its pairs. The interval of
        these fits, which resamples give, is only among `comparisons()`, of each scenario with the best one.
        """
        from harness.report.numbers.comparisons import pair_comparison
        from harness.report.numbers.marks import together
        from harness.report.tables.tidy import comparison_rows
        from harness.study.state import find_scenario

        a, b = (find_scenario(self.state, name) for name in (first, second))
        if a is b or not (a.finished and b.finished):
            raise StudyError(f"{first} and {second}: two scenarios are compared, all of whose folds are done")
        stage = next((s for s in self.state.stages if {a.id, b.id} <= {each.id for each in s.scenarios}), None)
        if stage is None:
            raise StudyError(f"{first} and {second} are in no stage together; only scenarios of one are compared")
        mark = together(self._marks.scenario(each.settings) for each in (a, b))
        return comparison_rows([pair_comparison(stage, a, b).model_copy(update={"mark": mark})])

    @property
    def plot(self) -> "Plots":
        """The figures of the report one by one, with their marks: `plot.curves()`, `plot.roc("NAME")`, and so on."""
        from harness.report.figures.plots import Plots

        dataset = self.workspace.inputs.dataset
        return Plots(self.state, self._marks, dataset, self._predictions, lambda: self.statistics.estimates)

    @cached_property
    def statistics(self) -> "Statistics":
        """Every number of the report: the content of its `statistics.json`, without the ids of runs in MLflow."""
        from harness.report.numbers.statistics import study_statistics

        return study_statistics(self.workspace, self.state, self.workspace.unit, lambda _level, _key: None)

    def report(self) -> Path:
        """Write the report where it is out of date, as `harness report` does, and return the path of its page."""
        from harness.tracking.stored_report import report_study

        return report_study(self.workspace, LOG.warning).with_name("index.html")

    @cached_property
    def _marks(self) -> "Marks":
        from harness.report.numbers.marks import marks_of

        return marks_of(self.workspace.study, self.state, self.workspace.inputs.dataset.synthetic)

    @cached_property
    def _predictions(self) -> "Predictions":
        from harness.report.numbers.predictions import Predictions

        return Predictions(self.workspace.ledger, self.workspace.inputs.dataset.positive, self.workspace.unit)

    def _repr_html_(self) -> str:
        """The leaderboard of each stage for a notebook."""
        from harness.report.tables.scenario_tables import leaderboard
        from harness.report.tables.tidy import html_table

        stages = [stage for stage in self.state.stages if stage.scenarios]
        return "".join(
            html_table(f"{self.workspace.study.study}, stage {s.stage.name}: mean over folds",
                       leaderboard(s, self._marks, self.statistics.estimates))
            for s in stages
        )  # fmt: skip
