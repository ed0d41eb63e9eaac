"""The section on one scenario on the test set."""

from collections import Counter

from harness.report.draft import Draft
from harness.report.numbers.as_run import averaged_words
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.look_history import look_words
from harness.report.numbers.marks import declared_looks, marked, taken_looks
from harness.report.numbers.predictions import averaged, scored
from harness.report.numbers.statistics import MAJORITY
from harness.report.sections.conformal_sets import conformal_lines
from harness.report.sections.grad_cam import explanation_lines
from harness.report.sections.least_sure import referral_lines
from harness.report.sections.net_benefit import decision_lines
from harness.report.sections.out_of_fold import Predicted, figure_lines, hardest_lines
from harness.report.sections.refits import NOTE, OF_FIRST, metrics_board, refit_words
from harness.report.sections.reliability import reliability_lines
from harness.report.sections.scaled import curve_lines, scaling_lines
from harness.report.sections.thresholds import threshold_lines
from harness.report.tables import scenario_tables as tables
from harness.report.tables.confused import class_lines, interval_lines
from harness.report.tables.estimate_table import comparison_table, fitted_models_note, interval_note
from harness.report.tables.export import export_table
from harness.store.looks import Look
from harness.study.scenario_state import ScenarioState
from harness.study.state import look_key


def test_lines(draft: Draft, state: ScenarioState) -> list[str]:
    """Write the tables and figures of the section to the folder, and return it in Markdown."""
    scenario, folder, title = state.scenario, draft.folder, draft.unit.titled(scored(state))
    lines = [f"## Test set: {draft.unit.titled(averaged(state))}", ""]
    if not state.finished:
        return [*lines, "Not scored yet.", ""]
    dataset = draft.dataset
    frame = draft.predictions.on_test(state)
    mark = draft.marks.test(dataset, scenario.settings, draft.ledger)
    confusion = tables.confusion_table(frame)
    marked(confusion, mark).to_csv(folder / f"test-confusion-{scenario.id}.csv")
    board = metrics_board(state, draft.predictions)
    predicted = Predicted(scenario, "test", frame, mark, folder, draft.unit)
    subjects = (scenario.name, MAJORITY)
    shown = [e for e in draft.statistics.estimates if e.subject in subjects and e.on == TEST and e.interval]
    explained = [] if draft.unit.patients else state.jobs
    by_class = class_lines(frame, mark, folder, f"test-classes-{scenario.id}")
    of_mean = [
        interval_note(draft.inputs.separation.unit),
        "",
        *interval_lines(shown, folder, f"test-intervals-{scenario.id}"),
    ]
    return [
        *lines,
        *([f"**{own}.**", ""] if (own := draft.marks.own(mark)) else []),
        *_looks(draft),
        *_accuracy(draft, state, int(confusion.to_numpy().trace()), len(frame)),
        *export_table(marked(board, mark), folder, f"test-metrics-{scenario.id}"),
        *([*by_class, *of_mean] if state.refits is None else [NOTE, *of_mean, OF_FIRST, "", *by_class]),
        *figure_lines(predicted, f"test set, {title}", dataset),
        *threshold_lines(draft.statistics.estimates, predicted, title),
        *referral_lines(draft.statistics.estimates, predicted),
        *decision_lines(draft.statistics.estimates, predicted, title, draft.inputs.separation.unit),
        *reliability_lines(draft.statistics.estimates, predicted, title),
        *curve_lines(draft.statistics.estimates, predicted, title, draft.inputs.separation.unit),
        *scaling_lines(draft.statistics.estimates, predicted),
        *conformal_lines(draft.statistics.estimates, predicted),
        *hardest_lines(predicted, draft.workspace),
        *(line for job in explained for line in explanation_lines(job, draft.workspace, folder, mark)),
    ]


def _looks(draft: Draft) -> list[str]:
    dataset = draft.dataset
    looks = draft.ledger.looks.at(dataset)
    part = sum(not look.same for look in looks)
    more = f"; {part} more at some of its images, by other manifests" if part else ""
    taken = taken_looks(draft.study, dataset, draft.ledger)
    return [
        f"{taken} of {declared_looks(draft.study)} declared looks at this test set were taken by this study in this"
        f" store; {len(looks) - part} by all studies{more}. {look_words(draft.statistics)}",
        "",
    ]


def _chosen(draft: Draft, state: ScenarioState) -> str:
    """When the winner was chosen, by the recorded looks: before the test set was opened, or after."""
    looks = draft.ledger.looks.at(draft.dataset)
    own = next((look for look in looks if (look.study, look.key) == (draft.study.study, look_key(state))), None)
    if own is None:
        return "chosen; this store has no record of when the test set was opened"
    earlier, later = (
        [look for look in looks if look.time < own.time],
        [look for look in looks if look.time > own.time],
    )
    if earlier:
        return f"NOT by a first look: test images had been scored before in this store ({_by(earlier)})"
    if own.study_id != draft.statistics.study_id:
        return f"NOT by a first look: this model was scored before, for study id {own.study_id or 'unknown'}"
    if later:
        return f"which this store scored first; test images were scored again since ({_by(later)})"
    return "chosen before the test set was opened in this store"


def _by(looks: list[Look]) -> str:
    """The number of looks by each study: `mine 2, other 1`."""
    return ", ".join(f"{name} {count}" for name, count in Counter(look.study for look in looks).items())


def _epoch(draft: Draft, state: ScenarioState) -> str:
    """The epoch that counts."""
    if state.settings.stop_patience:
        return "each at its best epoch by images held out of training"
    stops = any(s.id == state.id and s.settings.stop_patience for s in draft.state.scenarios)
    return f"after {state.settings.epochs} epochs, the median of its folds" if stops else "last epoch"


def _accuracy(draft: Draft, state: ScenarioState, right: int, total: int) -> list[str]:
    """The sentence on the scenario: how it was chosen, which model was scored, and its accuracy."""
    test, (low, high) = draft.study.test, tables.accuracy_interval(draft.predictions.on_test(state))
    selected = any(s.best and s.best.id == state.id for s in draft.state.stages if s.stage.select)
    who = f"The winner, {_chosen(draft, state)}" if selected else "Declared in the study file, not selected"
    model = (
        f"refitted on {state.settings.trained_on}"
        if test and test.model == "refit"
        else "the ensemble of the fold models, the mean of their probabilities"
    )
    counts = f"{right}/{total} = {right / total:.3f}"
    found = f" accuracy{' of patients' * draft.unit.patients} **{counts}**, 95 % interval {low:.3f} to {high:.3f}."
    if state.refits is not None:
        found = refit_words(draft, state, counts)
    return [f"{who}; {model}, {_epoch(draft, state)}{averaged_words(state.settings)}:{found}", ""]


def test_comparison_lines(draft: Draft) -> list[str]:
    """Compare the selected scenario with the others on the same test images; empty where it alone was scored."""
    found = [c for c in draft.statistics.comparisons if c.on == TEST]
    if not found:
        return []
    winner = next(test for test in draft.state.tests if test.name == found[0].first)
    words = (
        f"{found[0].first}, {_chosen(draft, winner)}, against the others, as they were"
        f" {'fitted' if winner.refits is None else 'first refitted'}, on the same test {draft.unit.plural}:"
    )
    return [
        f"## {draft.unit.titled('Fitted models on the test set, side by side')}",
        "",
        words,
        "",
        *export_table(comparison_table(found), draft.folder, "comparisons-test"),
        fitted_models_note(draft.unit.plural, draft.inputs.separation.unit),
        "",
    ]
