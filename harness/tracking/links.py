"""URLs into the MLflow UI: views that an experiment keeps, and single runs."""

import json

from mlflow import MlflowClient

from harness import views

UI = "http://127.0.0.1:5000"
TRAINING = "workflowType=machine_learning"  # else MLflow's side bar is that of language models


class Links:
    """Those of one study; `server`: where the UI is, if it is not the store's own."""

    def __init__(self, client: MlflowClient, experiment_id: str, study_id: str, server: str | None) -> None:
        self._client, self._experiment_id, self._study_id = client, experiment_id, study_id
        self._experiment = f"{server or UI}/#/experiments/{experiment_id}"

    def leaderboard(self, columns: list[str], order_by: str, ascending: bool, level: str = "scenario") -> str:
        """The URL of the scenarios (or trials) of this study with these columns, best first."""
        return self._share(self._study_id, views.leaderboard(self._study_id, level, columns, order_by, ascending))

    def curves(self, factor: str, levels: list[str], metrics: list[str]) -> str:
        """The URL of the curves of these metrics by epoch, the folds of each level of a factor together."""
        view = views.curves(self._study_id, factor, levels, metrics)
        return self._share(f"{self._study_id}-{factor}", view) + "&compareRunsMode=CHART"

    def tree(self, columns: list[str]) -> str:
        """The URL of all runs of this study, every fold under its scenario."""
        return self._share(f"{self._study_id}-tree", views.tree(self._study_id, columns))

    def run(self, run_id: str) -> str:
        """The URL of a run."""
        return f"{self._experiment}/runs/{run_id}?{TRAINING}"

    def _share(self, key: str, view: views.View) -> str:
        """The URL of a view, which the experiment keeps under `key`."""
        self._client.set_experiment_tag(self._experiment_id, f"mlflow.sharedViewState.{key}", json.dumps(view))
        return f"{self._experiment}/runs?{TRAINING}&viewStateShareKey={key}"
