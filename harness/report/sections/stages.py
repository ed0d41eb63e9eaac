"""The results of a study in one unit: its stages, winners, tests, subgroups, and the gap to the test set."""

from collections.abc import Sequence

import pandas as pd

from harness.report.draft import Draft
from harness.report.figures import scenario_figures as figures
from harness.report.figures.forest import difference_figure
from harness.report.figures.intervals import MAX_CLASSES, WORST_CLASSES, scenario_intervals
from harness.report.numbers.comparisons import TEST, stage_comparisons
from harness.report.numbers.fold_numbers import FOLD_RESAMPLES
from harness.report.numbers.inflation import INFLATION
from harness.report.numbers.marks import marked, together
from harness.report.numbers.records import Comparison, Statistics
from harness.report.numbers.treatments import TREATED
from harness.report.sections.answer import deciding, difference_lines, differences_file
from harness.report.sections.gap import gap_lines
from harness.report.sections.learning_curve import learning_curve_lines
from harness.report.sections.left_out_sites import left_out_lines
from harness.report.sections.on_test_set import test_comparison_lines, test_lines
from harness.report.sections.out_of_fold import winner_lines
from harness.report.sections.selection_words import selection_words
from harness.report.sections.several_sets import several_sets_lines
from harness.report.sections.subgroups import subgroup_lines
from harness.report.sections.unequal_classes import treatment_lines
from harness.report.tables import scenario_tables as tables
from harness.report.tables.estimate_table import FITS_NOTE, comparison_table, interval_cell, practical_note
from harness.report.tables.export import export_table
from harness.study.number_words import is_are
from harness.study.state import StageState
from harness.study.types import BUILT_IN, plain_metric

_OF_IMAGES = "; of images, as patients are combined from the epoch that counts alone"


def result_lines(draft: Draft) -> list[str]:
    """Write the tables and figures of all results to the folder, and return their sections in Markdown."""
    return [
        *(line for stage in draft.state.stages for line in _stage(draft, stage)),
        *winner_lines(draft),
        *left_out_lines(draft),
        *(line for test in draft.state.tests for line in test_lines(draft, test)),
        *test_comparison_lines(draft),
        *several_sets_lines(draft),
        *subgroup_lines(draft),
        *_findings(draft.statistics),
        *treatment_lines(draft),
        *gap_lines(draft),
    ]


def _findings(statistics: Statistics) -> list[str]:
    found = [f"- {finding.text}." for finding in statistics.findings if finding.kind == INFLATION]
    note = "Copies in a validation set change its class shares; balanced accuracy, which ignores them, is comparable."
    return ["## Inflation by oversampling before the split", "", note, "", *found, ""] if found else []


def _stage(draft: Draft, state: StageState) -> list[str]:
    name, marks, folder = state.stage.name, draft.marks, draft.folder
    lines = [f"## {draft.unit.titled(f'Stage {name}')}", ""]
    if state.waits_for:
        return [*lines, f"Not run: it starts from the winner of stage {state.waits_for}, which is not known yet.", ""]
    metric = tables.ranked_by(state.stage)
    board = tables.leaderboard(state, marks, draft.statistics.estimates)
    title = draft.unit.titled(f"{marks.study.study}, stage {name}")
    mark = together(marks.scenario(s.settings) for s in state.scenarios)
    curve = plain_metric(metric) if plain_metric(metric) in BUILT_IN else "val/loss"  # own ones have no curve
    figures.validation_curves(state.scenarios, curve, title, folder / f"curves-{name}.png", vector=True, mark=mark)
    lines += [
        f"Mean over the folds and its standard deviation (SD), best {metric} first."
        f"{_corrected(board, draft.inputs.separation.unit)}",
        "",
        *export_table(board, folder, f"leaderboard-{name}"),
        *_intervals(draft, state, title, mark),
        f"![{curve} by epoch](curves-{name}.png)",
        "",
        f"*{curve} by epoch: mean over the folds, and their range as a band{_OF_IMAGES * draft.unit.patients}.*",
        "",
    ]
    lines += learning_curve_lines(draft, state)
    if state.best and state.finished:
        lines += [*selection_words(state, draft.statistics.estimates), ""]
    compared = comparisons_of(state, draft.state.stages, draft.statistics.comparisons)
    if compared:
        lines += export_table(comparison_table(compared), folder, f"comparisons-{name}")
        fits = (
            FITS_NOTE.format(unit=draft.inputs.separation.unit) if any(c.fits_low is not None for c in compared) else ""
        )
        lines += [f"{practical_note(compared[0].margin)}{fits}", ""] if compared[0].margin else []
    lines += _differences(draft, state, title, mark)
    if state.missing:
        holes = ", ".join(f"{job.scenario.name} ({job.name})" for job in state.missing[:10])
        lines += [
            f"**Missing:** {len(state.missing)} of the stage's fits {is_are(len(state.missing))} not done: {holes}.",
            "",
        ]
    return lines


def comparisons_of(state: StageState, stages: Sequence[StageState], every: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons between scenarios of a stage, without those that another stage makes of the same scenarios."""
    of_others = {_key(c) for other in stages for c in stage_comparisons(other)}
    of_others -= {_key(c) for c in stage_comparisons(state)}
    names = {scenario.name for scenario in state.scenarios}
    between = [c for c in every if {c.first, c.second} <= names]
    return [c for c in between if c.on not in (TEST, TREATED) and _key(c) not in of_others]


def _key(c: Comparison) -> tuple[str, str, str, int]:
    """What tells a comparison of one stage from that of the same scenarios in another: its metric and its family."""
    return c.first, c.second, c.metric, c.comparisons


def _differences(draft: Draft, state: StageState, title: str, mark: str | None) -> list[str]:
    """Draw the differences to the best mean; empty where nothing is compared, or where the summary shows them."""
    if state.stage.select is None or not state.contests:
        return []
    select, path = state.stage.select, draft.folder / differences_file(state)
    difference_figure(state.contests, select.metric, select.margin, title, path, mark)
    return [] if state is deciding(draft.state) else difference_lines(state)


def _corrected(board: pd.DataFrame, unit: str) -> str:
    """What the columns of corrected means are; empty where there are none. unit: what is resampled."""
    words = f" BBC-CV: the best mean corrected for being chosen as the best, by {unit} that did not choose it."
    nested = f" nested: that of what is selected without each outer fold, on the {unit} of that fold."
    return words * ("BBC-CV" in board) + nested * ("nested" in board)


def _intervals(draft: Draft, state: StageState, title: str, mark: str | None) -> list[str]:
    """Draw the intervals of the finished scenarios, out of fold; empty where none is finished."""
    if not any(scenario.finished for scenario in state.scenarios):
        return []
    names = [s.name for s in state.scenarios if s.finished]
    path = draft.folder / f"intervals-{state.stage.name}.png"
    scenario_intervals(draft.statistics.estimates, names, title, path, mark)
    unit, many = draft.inputs.separation.unit, len(draft.dataset.classes) > MAX_CLASSES
    worst = f" ROC AUC of the {WORST_CLASSES} classes that have the smallest one; all: statistics.json."
    note = (
        f"*Out of fold, 95 % intervals over {unit}: of the accuracy by Wilson, of the ROC AUC, which is that within the"
        f" folds, averaged, by DeLong.{worst * many}*"
    )
    return [*_fold_intervals(draft, state, mark), f"![intervals of the scenarios]({path.name})", "", note, ""]


def _fold_intervals(draft: Draft, state: StageState, mark: str | None) -> list[str]:
    """The table of the means over the folds with their intervals over patients."""
    metrics = dict.fromkeys([tables.ranked_by(state.stage).removeprefix("val/"), *tables.LEADERBOARD_METRICS])
    of = {(e.subject, e.metric): e for e in draft.statistics.estimates if e.on == "folds"}
    rows = [
        {"scenario": s.name} | {m: interval_cell(of[s.name, m]) for m in metrics if (s.name, m) in of}
        for s in state.scenarios
        if s.finished
    ]
    table = pd.DataFrame(rows)
    note = (
        f"The same means with 95 % intervals over {draft.inputs.separation.unit}, resampled {FOLD_RESAMPLES} times"
        " (that of the ROC AUC by DeLong). They are of the fits as they are: what another fit changes is in the SD."
    )
    return [note, "", *export_table(marked(table, mark), draft.folder, f"fold-intervals-{state.stage.name}")]
