"""Ready views of the MLflow UI, as its shared view states. The format is MLflow's own and not documented: the browser
tests hold it against the UI."""

from collections.abc import Sequence
from typing import Any

View = dict[str, Any]


def leaderboard(study_id: str, level: str, columns: Sequence[str], order_by: str, ascending: bool) -> View:
    """The runs of one level with these columns, best first."""
    return {
        "searchFilter": f"tags.`harness.study_id` = '{study_id}' AND tags.`harness.level` = '{level}'",
        "orderByKey": order_by,
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
    }


def tree(study_id: str, columns: Sequence[str]) -> View:
    """All runs of a study, the folds of each scenario under it, opened."""
    return {
        "searchFilter": f"tags.`harness.study_id` = '{study_id}'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": ["attributes.`Dataset`", "attributes.`Description`", *columns],
        "groupBy": _groups(("tag", "harness.stage"), ("tag", "harness.scenario")),
    }


def curves(study_id: str, factor: str, levels: Sequence[str], metrics: Sequence[str]) -> View:
    """A chart for each metric by epoch: the mean over all folds of each level of a factor, with a band."""
    return {
        "searchFilter": f"tags.`harness.study_id` = '{study_id}' AND tags.`harness.level` = 'fold'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": [f"params.`{factor}`"],
        "groupBy": _groups(("param", factor)),
        "groupsExpanded": {f"param.{factor}.{level}": False for level in levels},
        "useGroupedValuesInCharts": True,
        "compareRunSections": [{"uuid": "epochs", "name": "by epoch", "display": True, "deleted": False}],
        "compareRunCharts": [_line(metric) for metric in metrics],
        "isAccordionReordered": True,
    }


def _groups(*keys: tuple[str, str]) -> View:
    return {"aggregateFunction": "average", "groupByKeys": [{"mode": kind, "groupByData": name} for kind, name in keys]}


def _line(metric: str) -> View:
    return {
        "type": "LINE", "uuid": metric, "metricSectionId": "epochs", "isGenerated": False, "deleted": False,
        "runsCountToCompare": 100, "metricKey": metric, "selectedMetricKeys": [metric], "displayName": metric,
        "lineSmoothness": 0, "scaleType": "linear", "xAxisKey": "step", "xAxisScaleType": "linear",
        "selectedXAxisMetricKey": "", "yAxisKey": "metric", "yAxisExpressions": [], "range": {},
        "ignoreOutliers": False, "useGlobalXaxisKey": False, "useGlobalLineSmoothing": False,
    }  # fmt: skip
