"""URLs into the MLflow UI: ready views that an experiment keeps, and single runs.

The format of a view is that of MLflow's shared view states, which is not documented: the browser tests hold it against
the UI.
"""

import json
from collections.abc import Sequence
from typing import Any

from mlflow import MlflowClient

from harness.study import Study
from harness.study.search_block import Search
from harness.study.state import StageState
from harness.study.types import plain_metric
from harness.study.unit import PATIENT_METRICS
from harness.tracking.leaderboard_tags import USUAL_METRICS, ranked_metric, shown_cells

View = dict[str, Any]

VIEW_TAG = "mlflow.sharedViewState."  # before the key of a view, in the tags of its experiment
UI_PORT = 5000  # of `mlflow ui` and of `harness ui`
SECTION = "charts"  # the opened section of a view of charts
# of the metrics of folds and of scenarios in MLflow; opened, each would draw all its charts
FOLD_SECTIONS = ("train", "val", "Model metrics", "System metrics")
SCENARIO_SECTIONS = ("by epoch/train", "by epoch/val", "val", "train", "cost")
TRAINING = "workflowType=machine_learning"  # else MLflow's side bar is that of language models


class Links:
    """URLs of one study. ui: the address of the MLflow UI."""

    def __init__(self, client: MlflowClient, experiment_id: str, study_id: str, ui: str) -> None:
        self._client, self._experiment_id, self._study_id = client, experiment_id, study_id
        self._ui, self._experiment = ui, f"{ui}/#/experiments/{experiment_id}"

    def leaderboard(self, columns: list[str], order_by: str, ascending: bool, level: str = "scenario") -> str:
        """The URL of the scenarios (or trials) of this study with these columns, best first."""
        return self._share(self._study_id, _leaderboard_view(self._study_id, level, columns, order_by, ascending))

    def curves(self, factor: str, levels: list[str], metrics: list[str]) -> str:
        """The URL of the curves of these metrics by epoch, the folds of each level of a factor together."""
        view = _curves_view(self._study_id, factor, levels, metrics)
        return self._share(f"{self._study_id}-{factor}", view) + "&compareRunsMode=CHART"

    def compared(self, factors: list[str], metrics: list[str]) -> str:
        """The URL of the scenarios side by side: the settings in which they differ, then these metrics."""
        view = _compared_view(self._study_id, factors, metrics)
        return self._share(f"{self._study_id}-compared", view) + "&compareRunsMode=CHART"

    def tree(self, columns: list[str]) -> str:
        """The URL of all runs of this study, every fold under its scenario."""
        return self._share(f"{self._study_id}-tree", _tree_view(self._study_id, columns))

    def study_views(self, study: Study, stages: Sequence[StageState]) -> dict[str, str]:
        """The ready views of a study: leaderboard, curves by factor, all runs; words -> URL."""
        select = next((s.stage.select for s in reversed(stages) if s.stage.select), None)
        plain = ranked_metric(stages)
        metric = f"{PATIENT_METRICS}{plain}" if study.unit == "patient" else plain
        factors = [_param(factor) for factor in study.factors]
        ascending = select is not None and not select.maximize
        columns = [*factors, *map(_tag, shown_cells(stages))]
        found = {"leaderboard": self.leaderboard(columns, _metric(f"{metric}_mean"), ascending)}
        means = [f"{name}_mean" for name in dict.fromkeys([metric, *USUAL_METRICS])]
        found["scenarios compared"] = self.compared(study.factors, means)
        shown = list(dict.fromkeys([plain_metric(plain), "val/loss", "val/accuracy", "val/roc_auc", "train/loss"]))
        for factor in study.factors:
            levels = [str(level.value) for _, key, _, level in study.levels() if key == factor]
            found[f"curves by {factor}"] = self.curves(factor, levels, shown)
        return found | {"all runs": self.tree([_metric(plain_metric(plain)), _metric(f"{metric}_mean"), *factors])}

    def search_view(self, search: Search) -> str:
        """The URL of the leaderboard of a search's trials."""
        objective = search.objective
        names = ["objective", *(["cost"] if objective.cost else []), f"{objective.metric}_std", "folds"]
        columns = [*map(_param, search.space), *map(_metric, names), _tag("harness.state")]
        return self.leaderboard(columns, _metric("objective"), not objective.maximize, level="trial")

    def run(self, run_id: str) -> str:
        """The URL of a run."""
        return f"{self._experiment}/runs/{run_id}?{TRAINING}"

    def _share(self, key: str, view: View) -> str:
        """The URL of a view, which the experiment keeps under `key`."""
        self._client.set_experiment_tag(self._experiment_id, f"{VIEW_TAG}{key}", json.dumps(view))
        return view_url(self._ui, self._experiment_id, key)


def experiments_url(ui: str) -> str:
    """The URL of the list of all experiments."""
    return f"{ui}/#/experiments?{TRAINING}"


def view_url(ui: str, experiment_id: str, key: str | None = None) -> str:
    """The URL of an experiment's runs, in the view that it keeps under `key`."""
    return f"{ui}/#/experiments/{experiment_id}/runs?{TRAINING}{f'&viewStateShareKey={key}' if key else ''}"


def _param(name: str) -> str:
    """The column of a param."""
    return f"params.`{name}`"


def _tag(name: str) -> str:
    """The column of a tag."""
    return f"tags.`{name}`"


def _metric(name: str) -> str:
    """The column of a metric."""
    return f"metrics.`{name}`"


def _leaderboard_view(study_id: str, level: str, columns: Sequence[str], order_by: str, ascending: bool) -> View:
    """The runs of one level with these columns, best first."""
    return {
        "searchFilter": f"tags.`harness.study_id` = '{study_id}' AND tags.`harness.level` = '{level}'",
        "orderByKey": order_by,
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
    }


def _tree_view(study_id: str, columns: Sequence[str]) -> View:
    """All runs of a study, the folds of each scenario under it, opened."""
    return {
        "searchFilter": f"tags.`harness.study_id` = '{study_id}'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": ["attributes.`Dataset`", "attributes.`Description`", *columns],
        "groupBy": _groups(("tag", "harness.stage"), ("tag", "harness.scenario")),
    }


def _curves_view(study_id: str, factor: str, levels: Sequence[str], metrics: Sequence[str]) -> View:
    """A chart for each metric by epoch: the mean over all folds of each level of a factor, with a band."""
    return {
        "searchFilter": f"tags.`harness.study_id` = '{study_id}' AND tags.`harness.level` = 'fold'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": [f"params.`{factor}`"],
        "groupBy": _groups(("param", factor)),
        "groupsExpanded": {f"param.{factor}.{level}": False for level in levels},
        "useGroupedValuesInCharts": True,
        **_charts("by epoch", [_line(metric) for metric in metrics], FOLD_SECTIONS),
    }


def _compared_view(study_id: str, factors: Sequence[str], metrics: Sequence[str]) -> View:
    """The scenarios as columns of a table of what differs, as lines through the factors to the first metric, as bars.

    MLflow's own page for runs that were marked has a switch for what differs, which no URL turns.
    """
    return _leaderboard_view(study_id, "scenario", [_param(f) for f in factors], _metric(metrics[0]), False) | _charts(
        "what varies",
        [
            _chart("DIFFERENCE", "differences") | {
                "compareGroups": ["Parameters"], "chartName": "settings that differ", "showChangeFromBaseline": False,
                "showDifferencesOnly": True, "baselineColumnUuid": "",
            },
            _chart("PARALLEL", "factors") | {
                "selectedParams": list(factors), "selectedMetrics": list(metrics[:1]), "showAllRuns": True,
            },
            *(_chart("BAR", metric) | {"metricKey": metric, "displayName": metric} for metric in metrics),
        ],
        SCENARIO_SECTIONS,
    )  # fmt: skip


def _charts(name: str, charts: Sequence[View], others: Sequence[str]) -> View:
    """Charts in one section, opened. others: closed sections, to which MLflow adds a chart for each other metric."""
    closed = [{"uuid": other, "name": other, "display": False, "deleted": False} for other in others]
    return {
        "compareRunSections": [{"uuid": SECTION, "name": name, "display": True, "deleted": False}, *closed],
        "compareRunCharts": list(charts),
        "isAccordionReordered": True,
    }


def _chart(kind: str, uuid: str) -> View:
    return {
        "type": kind, "uuid": uuid, "metricSectionId": SECTION, "isGenerated": False, "deleted": False,
        "runsCountToCompare": 100,
    }  # fmt: skip


def _groups(*keys: tuple[str, str]) -> View:
    return {"aggregateFunction": "average", "groupByKeys": [{"mode": kind, "groupByData": name} for kind, name in keys]}


def _line(metric: str) -> View:
    return _chart("LINE", metric) | {
        "metricKey": metric, "selectedMetricKeys": [metric], "displayName": metric,
        "lineSmoothness": 0, "scaleType": "linear", "xAxisKey": "step", "xAxisScaleType": "linear",
        "selectedXAxisMetricKey": "", "yAxisKey": "metric", "yAxisExpressions": [], "range": {},
        "ignoreOutliers": False, "useGlobalXaxisKey": False, "useGlobalLineSmoothing": False,
    }  # fmt: skip
