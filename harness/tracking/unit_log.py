"""Predictions and metrics in MLflow: those of images, and those of patients where they are the unit of the study."""

from collections.abc import Callable
from statistics import mean, stdev
from typing import TYPE_CHECKING

from harness.data.inputs import Workspace
from harness.report.numbers.marks import taken_looks
from harness.report.numbers.predictions import Predictions, refit_metrics, test_metrics
from harness.store.ledger import set_file
from harness.store.results import Metrics
from harness.study.scenario_state import ScenarioState
from harness.study.unit import BY_IMAGE, PATIENT_METRICS, Unit
from harness.tracking.tracker import Tracker

if TYPE_CHECKING:
    import pandas as pd

FILES = {"image": "predictions.parquet", "patient": "predictions-patients.parquet"}


class UnitLog:
    """Logs predictions and metrics of a study in every unit that it has."""

    def __init__(self, workspace: Workspace, tracker: Tracker) -> None:
        self._workspace, self._tracker = workspace, tracker

    @property
    def _units(self) -> list[Unit]:
        """The image and, the last, the unit of the study."""
        return list(dict.fromkeys([BY_IMAGE, self._workspace.unit]))

    def _predictions(self, unit: Unit) -> Predictions:
        return Predictions(self._workspace.ledger, self._workspace.inputs.dataset.positive, unit)

    def predictions(self, run_id: str, read: "Callable[[Predictions], pd.DataFrame]") -> "pd.DataFrame":
        """Log the predictions that `read` gives, a file for each unit; return those of the unit of the study."""
        frames = {unit: read(self._predictions(unit)) for unit in self._units}
        with self._workspace.store.scratch() as folder:
            for unit, frame in frames.items():
                frame.to_parquet(folder / FILES[unit.name], index=False)
            self._tracker.log_files(run_id, sorted(folder.iterdir()))
        return frames[self._workspace.unit]

    def summary(self, run_id: str, state: ScenarioState) -> None:
        """Log the means over the folds, and what the fits cost. state: of the unit of the study."""
        for unit in self._units:
            same = state if unit == self._workspace.unit else self._in(unit, state)
            self._tracker.metrics.log_metrics(run_id, _named(unit, same.summary))
        self._tracker.metrics.log_metrics(run_id, state.cost.metrics if state.cost else {})

    def _in(self, unit: Unit, state: ScenarioState) -> ScenarioState:
        return self._workspace.reader_of(unit).scenario(state.scenario, state.jobs)

    def test_metrics(self, run_id: str, state: ScenarioState, test_set: str | None = None) -> Metrics:
        """Log the metrics on a test set; return those of the unit of the study. test_set: None: the leading one."""
        found = {unit: test_metrics(state, self._predictions(unit), test_set) for unit in self._units}
        for unit, metrics in found.items():
            self._tracker.metrics.log_metrics(run_id, _named(unit, metrics), state.settings.epochs)
        return found[self._workspace.unit]

    def over_refits(self, run_id: str, state: ScenarioState) -> None:
        """Log mean and standard deviation over the refits that are done, on every test set; nothing for one."""
        for test_set in (None, *self._workspace.inputs.dataset.further_sets) if state.refits else ():
            start = "test" if test_set is None else f"test/{test_set}"
            for unit in self._units:
                each = [*refit_metrics(state, self._predictions(unit), test_set).values()]
                values = {f"{start}/{name}": [metrics[name] for metrics in each] for name in each[0]}
                spread = {f"{name}_std": stdev(of) for name, of in values.items() if len(of) > 1}
                means = {f"{name}_mean": mean(of) for name, of in values.items()}
                self._tracker.metrics.log_metrics(run_id, _named(unit, means | spread))

    def further_sets(self, run_id: str, state: ScenarioState) -> None:
        """Log the metrics, the predictions and the looks of the test sets beside the leading one."""
        dataset = self._workspace.inputs.dataset
        for name in dataset.further_sets:
            self.test_metrics(run_id, state, name)
            looks = taken_looks(self._workspace.study, dataset.of_set(name), self._workspace.ledger)
            self._tracker.metrics.log_metrics(run_id, {f"test_looks/{name}": looks})
            with self._workspace.store.scratch() as folder:
                self._predictions(BY_IMAGE).on_test(state, name).to_parquet(folder / set_file(name), index=False)
                self._tracker.log_files(run_id, [folder / set_file(name)], "sets")


def _named(unit: Unit, metrics: Metrics) -> Metrics:
    """The metrics under their names in MLflow: of patients `patient val/accuracy_mean`, without those of training."""
    if not unit.patients:
        return metrics
    return {f"{PATIENT_METRICS}{name}": value for name, value in metrics.items() if not name.startswith("train/")}
