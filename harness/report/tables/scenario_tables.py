"""The tables of a study, from stored results alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.report.numbers.chosen import corrected_value
from harness.report.numbers.estimates import rates_of
from harness.report.numbers.marks import Marks
from harness.report.numbers.nested_numbers import nested_estimate
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.report.tables.cells import Measured
from harness.report.tables.cost_table import main_costs
from harness.report.tables.export import NUMERIC_FACTORS
from harness.stats.arrays import arrays
from harness.stats.metrics import confusion_matrix, per_class_table
from harness.stats.practical import Practical
from harness.stats.proportions import Interval
from harness.study.scenario_names import ScenarioNames
from harness.study.stage import Stage
from harness.study.state import StageState
from harness.study.types import own_names

LEADERBOARD_METRICS = ("accuracy", "balanced_accuracy", "f1", "roc_auc")


def ranked_by(stage: Stage) -> str:
    """The metric that the scenarios of a stage are ranked by."""
    return stage.select.metric if stage.select else "val/accuracy"


def leaderboard(state: StageState, marks: Marks, estimates: Sequence[Estimate] = ()) -> pd.DataFrame:
    """The scenarios of a stage: their factors, folds done, mean and SD of each metric, cost, and the verdict.

    estimates: of the study, for the columns of the best mean, corrected for being the best: BBC-CV, and of what is
    selected, on outer folds: nested.
    The best comes first. Unfinished scenarios, whose means are over other images, come below all finished ones.
    """
    metric = ranked_by(state.stage)
    metrics = [*(f"val/{name}" for name in LEADERBOARD_METRICS), *own_names(marks.study.metrics)]
    shown = list(dict.fromkeys([metric, *metrics]))
    against, practical = verdicts(state), {c.other.id: _OF_OTHER[c.practical] for c in state.contests}
    costs = {scenario.id: main_costs(scenario) for scenario in state.scenarios}
    rows, names, corrected = [], ScenarioNames(marks.study), corrected_value(state, estimates)
    nested = nested_estimate(state, estimates)
    for scenario in state.scenarios:
        levels, summary = names.levels(scenario.settings), scenario.summary
        row: dict[str, object] = {key: levels.get(key, _nothing(key)) for key in marks.study.factors}
        row["folds"] = f"{len(scenario.records)}/{len(scenario.jobs)}"
        for name in shown:
            row[name] = summary.get(f"{name}_mean", np.nan)
            row[f"{name} SD"] = summary.get(f"{name}_std", np.nan)
            if name == metric and corrected is not None:
                row["BBC-CV"] = corrected if scenario is state.top else np.nan
            if name == metric and nested is not None:
                row["nested"] = nested.value if scenario is state.best else np.nan
        row |= costs[scenario.id]
        if metric in scenario.worst:
            row["worst group"] = scenario.worst[metric].group
        row["against the best"] = against.get(scenario.id, "")
        if practical:
            row["practically"] = practical.get(scenario.id, "")
        row["selected"] = "selected" if state.finished and state.best is scenario else ""
        row["mark"] = marks.scenario(scenario.settings) or ""
        rows.append(row)
    ascending = bool(state.stage.select and not state.stage.select.maximize)
    board = pd.DataFrame(rows).assign(unfinished=[not scenario.finished for scenario in state.scenarios])
    board = board.sort_values(["unfinished", metric], ascending=[True, ascending], kind="stable", ignore_index=True)
    board = board.drop(columns="unfinished")
    return board if board["mark"].any() else board.drop(columns="mark")


_OF_OTHER: dict[Practical, Practical] = {  # the verdict on the best -> that on the other
    "better": "worse", "worse": "better", "equivalent": "equivalent", "not known": "not known",
}  # fmt: skip


def _nothing(factor: str) -> object:
    """The cell of a factor that does not exist at a scenario."""
    return np.nan if factor in NUMERIC_FACTORS else "-"


def verdicts(state: StageState) -> dict[str, str]:
    """The verdict of the folds on each scenario against the one with the best mean, by scenario id."""
    found = {c.other.id: "worse" if c.resolved else "cannot resolve" for c in state.contests}
    for scenario in state.scenarios if state.stage.select else ():
        if scenario not in state.competing:
            found[scenario.id] = f"{'leaks' if scenario.settings.leaks else 'best epoch'}, takes no part"
    return found | ({state.top.id: "best mean"} if state.top and found else {})


def confusion_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The confusion matrix: a row for each true class, a column for each predicted one; mean counts over repeats."""
    parts = [arrays(part) for part in by_repeat(frame)]
    matrices = [confusion_matrix(probabilities, labels) for _, probabilities, labels in parts]
    classes, counts = parts[0][0], matrices[0] if len(matrices) == 1 else np.mean(matrices, axis=0)
    return pd.DataFrame(counts, index=classes, columns=classes).rename_axis(index="true", columns="predicted")


def class_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall, F1 and specificity of every class with its number of images; recall with its interval.

    With several repeats, the mean of their rates, on the images of one repeat.
    """
    parts = [arrays(part) for part in by_repeat(frame)]
    tables = [per_class_table(probabilities, labels) for _, probabilities, labels in parts]
    values = {name: np.mean([table[name] for table in tables], axis=0) for name in tables[0]}
    table = pd.DataFrame({"class": parts[0][0], **values}).astype({"support": int})
    ends = [e.interval for e in rates_of(by_repeat(frame), "", "") if e.metric == "recall" and e.interval]
    intervals = pd.Series([Measured(None, interval) for interval in ends], dtype=object)
    return table.assign(**{"recall 95 % interval": intervals})


def accuracy_interval(frame: pd.DataFrame) -> Interval:
    """The 95 % interval of the accuracy of these predictions."""
    return next(e.interval for e in rates_of(by_repeat(frame), "", "") if e.metric == "accuracy" and e.interval)
