"""The subgroups of a study: of the scenarios that were scored on the test set, or else out of fold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from harness.data.inputs import Workspace
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST, RunOf
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Comparison, Estimate, Finding
from harness.report.numbers.subgroup_numbers import (
    IMAGES,
    LEADING,
    MIN_PATIENTS,
    PATIENTS,
    SUBGROUP,
    Scored,
    on_group,
    subgroup_numbers,
)
from harness.report.numbers.threshold_numbers import chosen_point
from harness.study.number_words import is_are
from harness.study.scenario_state import ScenarioState
from harness.study.state import StudyState

SUBGROUPS = "subgroups"  # the kind of these findings
WORDS = {"roc_auc": "ROC AUC", "balanced_accuracy": "balanced accuracy"}


@dataclass(frozen=True)
class SubgroupNumbers:
    """The numbers of the groups of one scenario, and the sentence on the worst of them."""

    state: ScenarioState
    on: str  # the images
    estimates: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]
    finding: Finding

    def marked(self, mark: str | None) -> "SubgroupNumbers":
        """The numbers with the mark of their scenario."""
        update = {"mark": mark}
        return replace(
            self,
            estimates=tuple(e.model_copy(update=update) for e in self.estimates),
            comparisons=tuple(c.model_copy(update=update) for c in self.comparisons),
            finding=self.finding.model_copy(update=update),
        )


def study_subgroups(
    workspace: Workspace, state: StudyState, predictions: Predictions, run_of: RunOf
) -> list[SubgroupNumbers]:
    """The numbers of each scenario that is shown by group; empty for a study without `subgroups`."""
    if not workspace.study.subgroups:
        return []
    on, found = shown_by_group(state)
    groups = workspace.groups_of(predictions.unit)
    groups = groups[~groups.index.duplicated()]  # of patients who are in both splits
    validated = {s.id: s for s in state.scenarios}
    return [_numbers(s, _scored(s, validated[s.id], on, predictions, workspace), groups, run_of) for s in found]


def _scored(
    state: ScenarioState, validated: ScenarioState, on: str, predictions: Predictions, workspace: Workspace
) -> Scored:
    """The predictions of a scenario on these images, and its operating point."""
    out_of_fold, positive = predictions.out_of_fold(validated), predictions.positive
    known = workspace.inputs.separation.known
    if on != TEST:
        return Scored(state.name, on, out_of_fold, positive, known, predictions.unit)
    chosen = chosen_point(out_of_fold, positive, workspace.study.operating)
    point = chosen.threshold if chosen else None
    return Scored(state.name, on, predictions.on_test(state), positive, known, predictions.unit, point)


def shown_by_group(state: StudyState) -> tuple[str, list[ScenarioState]]:
    """The scenarios that are shown by group, and on which images.

    Those scored on the test set; without a test set the winners out of fold, and where no stage selects one, all.
    """
    tests = [test for test in state.tests if test.finished]
    if tests or state.tests:
        return TEST, tests
    return OUT_OF_FOLD, shown_out_of_fold(state)


def shown_out_of_fold(state: StudyState) -> list[ScenarioState]:
    """The scenarios of which a part is shown out of fold: the winners, and where no stage selects one, all."""
    selecting = [stage for stage in state.stages if stage.stage.select]
    winners = {stage.best.id: stage.best for stage in selecting if stage.finished and stage.best}
    finished = [scenario for scenario in state.scenarios if scenario.finished]
    return list(winners.values()) if selecting else finished


def _numbers(state: ScenarioState, scored: Scored, groups: pd.DataFrame, run_of: RunOf) -> SubgroupNumbers:
    on = scored.on
    estimates, comparisons = subgroup_numbers(scored, groups)
    update: dict[str, object] = {"run_id": run_of("test" if on == TEST else "scenario", state.id)}
    if on == TEST and len(state.jobs) > 1:
        update["ensemble"] = len(state.jobs)
    found = tuple(e.model_copy(update=update) for e in estimates)
    finding = Finding(kind=SUBGROUPS, text=worst_words(scored, found, comparisons))
    return SubgroupNumbers(state, on, found, tuple(comparisons), finding)


def worst_words(scored: Scored, estimates: Sequence[Estimate], comparisons: Sequence[Comparison]) -> str:
    """The sentence that names the worst group: the lowest ROC AUC, or balanced accuracy with several classes."""
    where = f"{scored.subject}, {scored.on}"
    everyone = on_group(scored.on, scored.everyone)
    ranked = [e for e in estimates if e.metric in LEADING and e.on != everyone]
    sure = [(e, e.interval) for e in ranked if e.interval is not None]
    left = len(ranked) - len(sure)
    small = f"; {left} more {is_are(left)} too small" if left else ""
    if len(sure) < 2:
        return f"{where}: no worst group is named, as fewer than two have {MIN_PATIENTS} {scored.unit} of each class"
    worst, (low, high) = min(sure, key=lambda known: known[0].value)
    name = worst.on.removeprefix(f"{SUBGROUP}{scored.on}, ")
    counts = {e.metric: int(e.value) for e in estimates if e.on == worst.on and e.metric in (IMAGES, PATIENTS)}
    sizes = " of ".join(f"{counts[unit]:,} {unit}" for unit in (IMAGES, PATIENTS) if unit in counts)
    return (
        f"{where}: the lowest {WORDS[worst.metric]} of {len(sure)} groups is that of {name}, {worst.value:.3f} (95 %"
        f" interval {low:.3f} to {high:.3f}; {sizes}){_difference(scored, name, worst.metric, comparisons)}{small}"
    )


def _difference(scored: Scored, name: str, metric: str, comparisons: Sequence[Comparison]) -> str:
    """The words on the difference of a group from the others of its column; empty where there is none."""
    own = f"{scored.subject}: {name}"
    for c in comparisons:
        if c.metric == metric and own in (c.first, c.second):
            other = (c.second if c.first == own else c.first).removeprefix(f"{scored.subject}: ")
            words = f"{abs(c.difference):.3f} {'below' if (c.difference < 0) == (c.first == own) else 'above'} {other}"
            return f", {words} (p = {c.p_holm:.2g} by Holm over {c.comparisons} differences)"
    return ""
