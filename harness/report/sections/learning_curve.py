"""The learning curve of a stage whose grid varies the share of the training images."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean

import pandas as pd

from harness.report.draft import Draft
from harness.report.figures.share_curves import CurvePoint, share_figure
from harness.report.numbers.comparisons import OUT_OF_FOLD
from harness.report.numbers.marks import together
from harness.report.numbers.records import Estimate
from harness.report.tables.estimate_table import interval_cell
from harness.report.tables.export import export_table
from harness.study.scenario_names import ScenarioNames
from harness.study.scenario_state import ScenarioState
from harness.study.settings import level_text
from harness.study.state import StageState

SHARE = "train_share"
SHOWN = {"accuracy": "accuracy", "roc_auc": "ROC AUC"}  # out of fold, with intervals


def learning_curve_lines(draft: Draft, stage: StageState) -> list[str]:
    """Write the table and the figure of the shares to the folder, and return their lines; empty without any."""
    found = [state for state in stage.scenarios if state.finished]
    if len({state.settings.train_share for state in found}) < 2:
        return []
    name, unit = stage.stage.name, draft.inputs.separation.unit
    of_each = {state.id: dict(_scores(draft, state)) for state in found}
    points = [CurvePoint(_curve(draft, state), _images(state), of_each[state.id]) for state in found]
    mark = together(draft.marks.scenario(state.settings) for state in found)
    title = draft.unit.titled(f"learning curve: {draft.study.study}, stage {name}")
    share_figure(points, title, draft.folder / f"learning-curve-{name}.png", mark)
    rows = [dict(_row(draft, stage, state, of_each[state.id])) for state in _in_order(draft, found)]
    table = pd.DataFrame(rows)
    whole = f"whole {unit}" if draft.inputs.separation.known else unit
    return [
        f"Each fit learns from a share of the training images of its fold: {whole}, the smaller share within the larger"
        " one, by class; the images that are scored are always the same. 95 % intervals out of fold, over"
        f" {unit}: they say how far the score depends on the images that are scored, and not on those learned from.",
        "",
        *export_table(table.assign(mark=mark) if mark else table, draft.folder, f"learning-curve-{name}"),
        f"![learning curve](learning-curve-{name}.png)",
        "",
    ]


def _in_order(draft: Draft, states: Sequence[ScenarioState]) -> list[ScenarioState]:
    """The scenarios of a curve one after the other, the smallest share first."""
    curves = list(dict.fromkeys(_curve(draft, state) for state in states))
    return sorted(states, key=lambda state: (curves.index(_curve(draft, state)), state.settings.train_share))


def _levels(draft: Draft, state: ScenarioState) -> dict[str, str]:
    """The levels of the other factors."""
    levels = ScenarioNames(draft.study).levels(state.settings)
    return {key: level_text(levels[key]) if key in levels else "-" for key in draft.study.factors if key != SHARE}


def _curve(draft: Draft, state: ScenarioState) -> str:
    return " + ".join(_levels(draft, state).values()) or draft.study.study


def _images(state: ScenarioState) -> float:
    """The training images of a fit, before oversampling: their mean over the folds."""
    return mean(sum(record.class_counts["before"].values()) for record in state.records.values())


def _scores(draft: Draft, state: ScenarioState) -> Iterator[tuple[str, Estimate]]:
    """The estimates out of fold, by their names for readers."""
    for e in draft.statistics.estimates:
        if e.subject == state.name and e.on == OUT_OF_FOLD and e.metric in SHOWN:
            yield f"{SHOWN[e.metric]}, {e.of_class}" if e.of_class else SHOWN[e.metric], e


def _row(
    draft: Draft, stage: StageState, state: ScenarioState, scores: Mapping[str, Estimate]
) -> Iterator[tuple[str, object]]:
    """The cells of one scenario."""
    metric = stage.stage.select.metric if stage.stage.select else "val/accuracy"
    yield from _levels(draft, state).items()
    yield SHARE, state.settings.train_share
    yield "training images", _images(state)
    yield metric, state.summary[f"{metric}_mean"]
    yield f"{metric} SD", state.summary[f"{metric}_std"]
    for name, e in scores.items():
        yield f"{name}, out of fold", interval_cell(e)
