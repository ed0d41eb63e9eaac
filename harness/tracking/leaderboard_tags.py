"""The cells of the leaderboard as tags of the scenarios' runs.

MLflow shows a metric with all its digits, under a name that its columns cut: a tag is as short as a reader wants it.
"""

from collections.abc import Sequence

from harness.report.numbers.comparisons import TEST
from harness.report.numbers.records import Estimate
from harness.report.tables.compact_leaderboard import short_name
from harness.report.tables.scenario_tables import verdicts
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState

VERDICT, TEST_ACCURACY, TEST_INTERVAL = "verdict", "test accuracy", "test interval"
SELECTED = "selected"  # in place of `best mean`, where that is selected: MLflow's columns are narrow
USUAL_METRICS = ("val/accuracy", "val/balanced_accuracy", "val/roc_auc")
Tags = dict[str, str]


def ranked_metric(stages: Sequence[StageState]) -> str:
    """The metric that the leaderboard of a study is sorted by: that of the last stage that selects."""
    return next((s.stage.select.metric for s in reversed(stages) if s.stage.select), USUAL_METRICS[0])


def shown_cells(stages: Sequence[StageState]) -> list[str]:
    """The names of the tags, in the order of the leaderboard's columns."""
    return [VERDICT, TEST_ACCURACY, TEST_INTERVAL, *map(short_name, _metrics(stages))]


def _metrics(stages: Sequence[StageState]) -> list[str]:
    return list(dict.fromkeys([ranked_metric(stages), *USUAL_METRICS]))


def leaderboard_tags(stages: Sequence[StageState], estimates: Sequence[Estimate]) -> dict[str, Tags]:
    """The tags of every finished scenario by its id: its verdict, its means over the folds, its test accuracy.

    A scenario of several stages has the verdict of the last one. estimates: of the study.
    """
    found: dict[str, Tags] = {}
    for stage in stages:
        words = verdicts(stage)
        for scenario in (s for s in stage.scenarios if s.finished):
            verdict = words.get(scenario.id, "-")
            if stage.finished and scenario is stage.best:
                verdict = SELECTED if scenario is stage.top else f"{SELECTED}, {verdict}"
            means = _means(scenario, _metrics(stages))
            found[scenario.id] = {VERDICT: verdict} | means | _test(scenario, estimates)
    return found


def _means(scenario: ScenarioState, metrics: Sequence[str]) -> Tags:
    """The mean of each metric with its SD, `0.896 ± 0.026`."""
    summary, found = scenario.summary, Tags()
    for name in metrics:
        if f"{name}_mean" in summary:
            spread = f" ± {summary[f'{name}_std']:.3f}" if f"{name}_std" in summary else ""
            found[short_name(name)] = f"{summary[f'{name}_mean']:.3f}{spread}"
    return found


def _test(scenario: ScenarioState, estimates: Sequence[Estimate]) -> Tags:
    """The accuracy on the test set with its interval; empty where it was not scored there."""
    wanted = (scenario.name, TEST, "accuracy")
    e = next((e for e in estimates if (e.subject, e.on, e.metric) == wanted), None)
    if e is None:
        return {}
    ends = {TEST_INTERVAL: f"{e.interval[0]:.3f} - {e.interval[1]:.3f}"} if e.interval else {}
    return {TEST_ACCURACY: f"{e.value:.3f}"} | ends
