"""The levels of a factor that a paper varies, next to ours: their accuracy out of fold, and their curves."""

from typing import Any

from harness.report.figures import scenario_figures as figures
from harness.report.figures.drawing import words_figure
from harness.report.figures.intervals import interval_figure
from harness.report.numbers.comparisons import OUT_OF_FOLD
from harness.report.numbers.marks import together
from harness.report.numbers.records import Estimate
from harness.report.sections.paper_sides import Lines, Sides, compared, export_rows
from harness.study.number_words import is_are
from harness.study.paper import Item
from harness.study.scenario_state import ScenarioState

NOT_PRINTED = "the paper prints a curve, no number"


def levels_of(sides: Sides, factor: str) -> tuple[list[ScenarioState], str]:
    """The scenarios that differ from a stage's selected one in this factor alone, or why there are none."""
    for state in sides.draft.state.stages:
        if factor not in state.stage.factors:
            continue
        if state.waits_for:
            return [], f"not run: stage {state.stage.name} waits for stage {state.waits_for}"
        finished = [s for s in state.scenarios if s.finished]
        if not finished:
            return [], f"not run: no scenario of stage {state.stage.name} is finished"
        others = set(state.stage.factors) - {factor}
        reference = (state.best or finished[0]).scenario.settings.model_dump(include=others)
        return [s for s in state.scenarios if s.settings.model_dump(include=others) == reference], ""
    return [], f"no stage of the study {sides.draft.study.study} varies {factor}"


def level_lines(sides: Sides, item: Item, name: str) -> Lines:
    """The levels of a factor with the size and the accuracy of each: a table, and a figure of the intervals."""
    rows, found = _level_rows(sides, item, f"{sides.published.paper} holds no figure of it")
    shown = [e.model_copy(update={"subject": "ours", "metric": level}) for level, e in found.items()]
    title, path = f"{item.item}, ours: accuracy out of fold", sides.draft.folder / f"{name}.png"
    if shown:
        interval_figure(shown, title, path, together(e.mark for e in shown))
    else:
        words_figure(str(rows[0]["missing"]), title, path)
    return [*export_rows(rows, sides, name), f"![{item.item}]({name}.png)", ""]


def curve_item_lines(sides: Sides, item: Item, name: str) -> Lines:
    """The levels of a factor: a table of their validation accuracy, and its curves by epoch."""
    rows, _ = _level_rows(sides, item, NOT_PRINTED)
    done = [s for s in levels_of(sides, item.factor or "")[0] if s.records]
    title, path = f"{item.item}, ours", sides.draft.folder / f"{name}.png"
    if done:
        mark = together(sides.draft.marks.scenario(s.settings) for s in done)
        figures.validation_curves(done, "val/accuracy", title, path, True, mark)
    else:
        words_figure(str(rows[0]["missing"]), title, path)
    claims = [f"the paper reports {c.value} ({c.where})" for c in sides.published.cross_validation]
    words = f"Validation accuracy over all out-of-fold images; {'; '.join(claims) or NOT_PRINTED}."
    return [words, "", *export_rows(rows, sides, name), f"![{item.item}]({name}.png)", ""]


def _level_rows(sides: Sides, item: Item, not_printed: str) -> tuple[list[dict[str, Any]], dict[str, Estimate]]:
    """A row for each level of the paper and of our study, and our estimates by level. An empty cell says why."""
    factor = item.factor or ""
    scenarios, why = levels_of(sides, factor)
    by_level = {str(getattr(s.settings, factor)): s for s in scenarios}
    why = why or f"not among the levels of the study {sides.draft.study.study}"
    rows: list[dict[str, Any]] = []
    found: dict[str, Estimate] = {}
    for level in dict.fromkeys([*item.levels, *by_level]):
        s = by_level.get(level)
        ours = _validated(sides, s) if s else None
        missing = why if s is None else f"{len(s.records)} of {len(s.jobs)} folds {is_are(len(s.records))} done"
        row = compared(level, None, ours, not_printed if ours else f"{not_printed}; ours: {missing}")
        if s and (cost := s.cost):
            row["SD of the folds"] = s.summary.get("val/accuracy_std")
            row["trained parameters"] = cost.trained_parameters
        if s:
            row["mark"] = sides.draft.marks.scenario(s.settings)
        rows.append(row)
        found |= {level: ours} if ours else {}
    if not rows:
        rows.append(compared(factor, None, None, f"{not_printed}; ours: {why}"))
    return rows, found


def _validated(sides: Sides, state: ScenarioState) -> Estimate | None:
    """The accuracy of a scenario over all its out-of-fold images."""
    keys = (state.name, OUT_OF_FOLD, "accuracy")
    return next((e for e in sides.draft.statistics.estimates if (e.subject, e.on, e.metric) == keys), None)
