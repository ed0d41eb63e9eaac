"""The section on subgroups: a table, a forest plot, the differences, and the worst group in a sentence."""

from collections.abc import Iterator, Sequence

import pandas as pd

from harness.report.draft import Draft
from harness.report.figures.group_forest import Forest, forest_figure
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.group_measures import AT_POINT, CALIBRATION
from harness.report.numbers.predictions import scored
from harness.report.numbers.records import Estimate, Statistics
from harness.report.numbers.study_subgroups import SUBGROUPS, shown_by_group
from harness.report.numbers.subgroup_numbers import (
    IMAGES,
    MIN_PATIENTS,
    NO_INTERVAL,
    PATIENTS,
    SUBGROUP,
)
from harness.report.tables.estimate_table import comparison_table, estimate_table, interval_cell, interval_note
from harness.report.tables.export import escaped, export_table, sentence, write_table
from harness.stats.permutation import PERMUTATIONS
from harness.study.scenario_state import ScenarioState
from harness.study.subgroups import subgroup_words

METRICS = {  # in the order of the tables
    "prevalence": "prevalence",
    "recall": "sensitivity",
    "specificity": "specificity",
    f"recall{AT_POINT}": f"sensitivity{AT_POINT}",
    f"specificity{AT_POINT}": f"specificity{AT_POINT}",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC",
    CALIBRATION: CALIBRATION,
}
CALIBRATION_NOTE = {
    True: "Calibration in the large is the mean predicted probability of {positive} minus its share: above 0, the model"
    " expects too many.",
    False: "Calibration in the large is the mean confidence in the predicted class minus the accuracy: above 0, the"
    " model is too sure.",
}


def subgroup_lines(draft: Draft) -> list[str]:
    """Write the tables and figures of the subgroups to the folder, and return the section; empty without any."""
    if not draft.study.subgroups:
        return []
    on, found = shown_by_group(draft.state)
    columns = escaped(", ".join(map(subgroup_words, draft.study.subgroups)))
    if not found:
        return [f"## {draft.unit.titled('Subgroups')}", "", f"By {columns}: no scenario is scored yet.", ""]
    return [line for scenario in found for line in _scenario(draft, scenario, on, columns)]


def subgroup_findings(statistics: Statistics) -> list[str]:
    """The sentences on the worst groups."""
    return [finding.text for finding in statistics.findings if finding.kind == SUBGROUPS]


def _scenario(draft: Draft, state: ScenarioState, on: str, columns: str) -> list[str]:
    prefix, key, folder = f"{SUBGROUP}{on}, ", state.id, draft.folder
    estimates = [e for e in draft.statistics.estimates if e.subject == state.name and e.on.startswith(prefix)]
    mark = next(e.mark for e in estimates)
    rows: dict[str, list[Estimate]] = {}
    for e in estimates:
        rows.setdefault(e.on.removeprefix(prefix), []).append(e)
    drawn = [metric for metric in METRICS if metric != "prevalence" and not metric.endswith(AT_POINT)]
    words = {metric: METRICS[metric] for metric in drawn if any(e.metric == metric for e in estimates)}
    title = draft.unit.titled(f"{scored(state) if on == TEST else state.name}, {on}")
    forest_figure(Forest(rows, words), f"subgroups: {title}", folder / f"subgroups-{key}.png", mark)
    known = draft.inputs.separation.known
    table = pd.DataFrame(dict(_row(name, found, known)) for name, found in rows.items())
    all_digits = estimate_table([e.model_copy(update={"subject": e.on.removeprefix(prefix)}) for e in estimates])
    write_table(all_digits, folder, f"subgroup-numbers-{key}")
    return [
        f"## Subgroups: {title}",
        "",
        *([f"**{own}.**", ""] if (own := draft.marks.own(mark)) else []),
        *(line for text in subgroup_findings(draft.statistics) if text.startswith(f"{state.name}, {on}: ")
          for line in (f"**{sentence(text.removeprefix(f'{state.name}, {on}: '))}**", "")),
        f"By {columns}. {_notes(draft, estimates)}",
        "",
        *export_table(table.assign(mark=mark) if mark else table, folder, f"subgroups-{key}"),
        f"![subgroups](subgroups-{key}.png)",
        "",
        *_differences(draft, state, on),
    ]  # fmt: skip


def _row(name: str, found: Sequence[Estimate], known: bool) -> Iterator[tuple[str, object]]:
    """The cells of one group."""
    yield "group", name
    counts = {e.metric: int(e.value) for e in found if e.metric in (IMAGES, PATIENTS)}
    if IMAGES in counts:
        yield IMAGES, counts[IMAGES]
    yield PATIENTS, counts[PATIENTS] if known else "unknown"
    for metric, word in METRICS.items():
        for e in (e for e in found if e.metric == metric):
            yield word, interval_cell(e)


def _notes(draft: Draft, estimates: Sequence[Estimate]) -> str:
    """The sentences on how the numbers of the table were found."""
    unit, positive = draft.inputs.separation.unit, draft.dataset.positive
    point = next((e.at for e in estimates if e.metric.endswith(AT_POINT)), None)
    small = any((e.method or "").startswith(NO_INTERVAL) for e in estimates)
    return " ".join(
        [
            interval_note(unit),
            *([f"Small: fewer than {MIN_PATIENTS} {unit} of a class that the number is about, so that an interval would"
               " mean nothing."] if small else []),
            *([f"Operating point: {point:.3f}, chosen out of fold."] if point is not None else []),
            CALIBRATION_NOTE[positive is not None].format(positive=escaped(positive)),
            *(["Out of fold, the area is the mean of those within the folds that have both classes."]
              if any(e.metric == "roc_auc" and TEST not in e.on for e in estimates) else []),
        ]
    )  # fmt: skip


def _differences(draft: Draft, state: ScenarioState, on: str) -> list[str]:
    """The differences of each group from the other images, with Holm's correction."""
    start = f"{state.name}: "
    found = [
        c.model_copy(update={"first": c.first.removeprefix(start), "second": c.second.removeprefix(start),
                             "metric": METRICS[c.metric]})
        for c in draft.statistics.comparisons
        if c.on == SUBGROUP + on and c.first.startswith(start)
    ]  # fmt: skip
    if not found:
        return []
    table = comparison_table(found).drop(columns=["compares", "verdict"])
    return [
        f"Differences between groups: intervals by resampling, p by letting {draft.inputs.separation.unit} of one class"
        f" change groups ({PERMUTATIONS:,} permutations), Holm over all {len(found)}. They are about this model on"
        f" these {draft.unit.plural}, and groups differ in more than the column that names them.",
        "",
        *export_table(table, draft.folder, f"subgroup-differences-{state.id}"),
    ]
