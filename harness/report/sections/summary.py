"""The summary of a study: what was run and what was found, in sentences."""

from collections.abc import Iterator

from harness.data.inputs import Workspace
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.look_history import look_words
from harness.report.numbers.marks import Marks, marks_of
from harness.report.numbers.nested_numbers import NESTED
from harness.report.numbers.predictions import averaged, scored
from harness.report.numbers.records import Estimate, Statistics
from harness.report.numbers.refit_numbers import spread_words
from harness.report.numbers.set_numbers import TEST_SETS, on_set
from harness.report.numbers.statistics import MAJORITY
from harness.report.numbers.treatment_tests import treatment_answer
from harness.report.numbers.treatments import TREATED
from harness.report.sections.answer import deciding
from harness.report.sections.clinical_words import clinical_words
from harness.report.sections.conduct import data_words, run_words
from harness.report.sections.scenario_settings import constants_sentence, used_settings
from harness.report.sections.subgroups import subgroup_findings
from harness.report.tables.confused import MAX_CLASSES
from harness.report.tables.export import escaped, sentence
from harness.study.number_words import is_are, number_of, of_others, verb
from harness.study.scenario_state import ScenarioState
from harness.study.stage import DEFAULT_COST
from harness.study.state import StageState, StudyState, final_test
from harness.study.unit import Unit

WORST_CLASSES = 3  # that are named, of many


def summary_lines(workspace: Workspace, state: StudyState, statistics: Statistics) -> list[str]:
    """The summary as a list in Markdown: what was compared, who won each stage, what the test set says."""
    marks = marks_of(workspace.study, state, workspace.inputs.dataset.synthetic)
    shared = workspace.inputs.separation
    found = [
        _compared(workspace, state),
        *unit_sentence(workspace),
        *([] if shared.sound else [f"**{sentence(shared.of_folds)}**"]),
    ]
    nested = {finding.where: escaped(finding.text) for finding in statistics.findings if finding.kind == NESTED}
    answer = deciding(state)
    for stage in state.stages:
        words = (_won(marks, stage, stage is answer), nested.get(stage.stage.name))
        found += [" ".join(filter(None, words))]
    best, unit = answer.best.id if answer and answer.best else None, workspace.unit
    tested = [test for test in state.tests if test.finished]
    found += [words for test in tested for words in _tested(test, statistics, unit, test.id == best)]
    found += [words for test in tested for words in _further(workspace, test, statistics)]
    found += [f"Subgroups: {escaped(text)}." for text in subgroup_findings(statistics)]
    found += _treatments(state, statistics)
    found += [f"**{escaped(words[:1].upper() + words[1:])}.**" for words in workspace.study.tried.words]
    if looks := look_words(statistics):
        found.append(f"Looks at the test set: {looks}")
    chosen = final_test(workspace.study, state)
    found += [f"No model is registered: {chosen}."] if isinstance(chosen, str) else []
    used = used_settings(workspace.study, workspace.inputs, state.scenarios)
    records = list(state.records.values())
    found += [constants_sentence(used), f"Run: {run_words(records, workspace.commands)}; {data_words(workspace)}."]
    return [f"- {words}" for words in found if words]


def unit_sentence(workspace: Workspace) -> list[str]:
    """The sentence on what the numbers are about, where that is not the image."""
    unit = workspace.unit
    selected = ", and stages select by it" if workspace.study.selects else ""
    return [f"Every number is of a {unit.words}{selected}."] if unit.patients else []


def _compared(workspace: Workspace, state: StudyState) -> str:
    study, inputs, scenarios = workspace.study, workspace.inputs, state.scenarios
    done, asked = sum(len(s.records) for s in scenarios), sum(len(s.jobs) for s in scenarios)
    images = len(inputs.dataset.rows("train"))
    fits = f"all {asked} fits are done" if done == asked else f"**{done} of {asked} fits {is_are(done)} done**"
    return (
        f"{number_of(len(scenarios), 'scenario')} ({' x '.join(study.factors) or 'no factor'}) over"
        f" {len(inputs.folds)} folds of {images:,} training images{inputs.separation.of_images}; {fits}."
    )


def _won(marks: Marks, state: StageState, answered: bool) -> str:
    """The sentence on a stage's winner; empty where the stage selects none.

    answered: whether the answer above the summary says already how many can be told apart from it.
    """
    select, top = state.stage.select, state.top
    if select is None or top is None:
        return f"Stage {state.stage.name} waits for the winner of stage {state.waits_for}." if state.waits_for else ""
    mean, sd = top.summary[f"{select.metric}_mean"], top.summary.get(f"{select.metric}_std")
    spread = f" (SD {sd:.3f})" if sd is not None else ""
    against = state.contests
    open_ones = sum(not contest.resolved for contest in against)
    who = of_others(open_ones, len(against))
    verdict = f"; {who} {is_are(open_ones)} not distinguishable from it" if open_ones else ""
    if against and not open_ones:
        verdict = "; every other is worse"
    verdict = "" if answered else verdict
    equal = sum(contest.practical == "equivalent" for contest in against)
    within = f"; {equal} of {len(against)} equivalent to it within {select.margin:g}" if against else ""
    flat = sum(contest.chances is None for contest in against)
    within += f", {flat} of {len(against)} not known, as the folds show no spread of the difference" if flat else ""
    same = sum(contest.other.summary[f"{select.metric}_mean"] == mean for contest in against)
    tied = (
        f", and so {verb(same, 'has', 'have')} {of_others(same, len(against))}: of these the first in the file is taken"
        if same
        else ""
    )
    best = f"{top.name} has the best mean {select.metric}, {mean:.3f}{spread}{tied}{verdict}{within}."
    mark = marks.scenario(top.settings)
    chosen = state.best if state.finished else None
    of = "" if select.cost == DEFAULT_COST else f" in {select.cost}"
    cheaper = f" The cheapest equivalent{of}, {chosen.name}, is selected." if chosen and chosen is not top else ""
    return f"Stage {state.stage.name}: {best}{cheaper}{f' **{mark}.**' if mark else ''}"


def _tested(test: ScenarioState, statistics: Statistics, unit: Unit, answered: bool) -> Iterator[str]:
    """The sentences on the test set: accuracy, that of the most frequent class alone, and the recall of each class.

    answered: whether the answer above the summary has the share that is right already, with its interval.
    """
    accuracy = _estimate(statistics, test.name, "accuracy")
    which = "" if answered else f", {averaged(test)}"
    yield (
        f"Test set{which}: {_correct(accuracy, statistics, unit, not answered)};"
        " always predicting the most frequent class of training gives"
        f" {_estimate(statistics, MAJORITY, 'accuracy').value:.1%}."
        f"{f' **{accuracy.mark}.**' if accuracy.mark else ''}"
    )
    recalls = [e for e in statistics.estimates if (e.subject, e.on, e.metric) == (test.name, TEST, "recall")]
    shown, which = recalls, ""
    if len(recalls) > MAX_CLASSES:
        shown = sorted(recalls, key=lambda e: e.value)[:WORST_CLASSES]
        which = f", the {WORST_CLASSES} of {len(recalls)} classes with the lowest recall"
    found = (f"{_counts(e)}{escaped(e.of_class)}, {_share(e)}" for e in shown)
    yield f"Found on the test set{' (patients)' * unit.patients}{which}: {'; '.join(found)}."
    yield from (f"{escaped(words)}." for words in clinical_words(statistics.estimates, test))


def _treatments(state: StudyState, statistics: Statistics) -> list[str]:
    """The sentence on what treatments of unequal classes did; the section says all of it."""
    selected = [stage.best.name for stage in state.stages if stage.best]
    found = treatment_answer([c for c in statistics.comparisons if c.on == TREATED], selected[-1] if selected else None)
    return [f"Classes of unequal size: {escaped(found)}."] if found else []


def _further(workspace: Workspace, test: ScenarioState, statistics: Statistics) -> Iterator[str]:
    """The sentences on the further test sets, and on the mean over all sets."""
    of = {e.on: e for e in statistics.estimates if e.subject == test.name and e.metric == "accuracy"}
    for name in workspace.inputs.dataset.further_sets:
        e = of[on_set(name)]
        yield (
            f"Test set {escaped(name)}, {averaged(test)}: {_correct(e, statistics, workspace.unit)}."
            f"{f' **{e.mark}.**' if e.mark else ''}"
        )
    if mean := of.get(TEST_SETS.mean):
        another = of[TEST_SETS.another]
        yield (
            f"Mean accuracy over {mean.n} test sets, {scored(test)}: {mean.value:.1%} (random effects, 95 % interval"
            f" {mean.low:.1%} to {mean.high:.1%}); one more such set is expected between {another.low:.1%} and"
            f" {another.high:.1%}."
        )


def _correct(accuracy: Estimate, statistics: Statistics, unit: Unit, with_share: bool = True) -> str:
    """How many are correct; of several refits the mean share and its spread."""
    spread = spread_words(statistics.estimates, accuracy)
    share = f", {_share(accuracy)}" if with_share else ""
    return f"{_counts(accuracy)}{unit.plural} correct{share}{spread}"


def _counts(e: Estimate) -> str:
    """`k of n `; of several refits the mean k."""
    hits = f"{e.value * (e.n or 0):.1f}" if e.hits is None else f"{e.hits}"
    return f"{hits} of {e.n} "


def _estimate(statistics: Statistics, subject: str, metric: str) -> Estimate:
    return next(e for e in statistics.estimates if (e.subject, e.on, e.metric) == (subject, TEST, metric))


def _share(estimate: Estimate) -> str:
    """A rate with Wilson's interval."""
    assert estimate.low is not None and estimate.high is not None
    return f"{estimate.value:.1%} (95 % interval {estimate.low:.1%} to {estimate.high:.1%})"
