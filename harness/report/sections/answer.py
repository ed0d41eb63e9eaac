"""The answer of a study, which a reader sees first: a sentence, the leaderboard that it rests on, and a figure."""

from collections.abc import Iterator

from harness.report.draft import Draft
from harness.report.numbers.chosen import chosen_on
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.marks import common_mark, together
from harness.report.numbers.predictions import averaged
from harness.report.numbers.records import Estimate
from harness.report.tables.compact_leaderboard import compact_leaderboard, main_columns
from harness.report.tables.export import escaped, markdown
from harness.report.tables.scenario_tables import leaderboard, ranked_by
from harness.study.contests import pairs
from harness.study.number_words import of_others
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState, StudyState


def answer_lines(draft: Draft) -> list[str]:
    """The answer in Markdown; empty until a stage has a winner."""
    stage = deciding(draft.state)
    if stage is None:
        return []
    board = leaderboard(stage, draft.marks, draft.statistics.estimates)
    mark, board = common_mark(board)
    text, shared = compact_leaderboard(main_columns(board, ranked_by(stage.stage)), draft.study.factors)
    return [
        *answer_sentence(draft),
        f"Validation, mean over the folds ± SD{f'; the same for all: {escaped(shared)}' if shared else ''}:",
        "",
        *([f"*{escaped(mark)}*", ""] if mark else []),
        *markdown(text.fillna("")),
        "",
        *difference_lines(stage),
    ]


def answer_sentence(draft: Draft) -> list[str]:
    """The answer as a paragraph; empty until a stage has a winner."""
    stage = deciding(draft.state)
    if stage is None or stage.best is None:
        return []
    on_test, of_test = _on_test(draft, stage.best)
    mark = together([draft.marks.scenario(stage.best.settings), of_test])
    words = [f"Selected: **{escaped(stage.best.name)}**{on_test}.", *_over_folds(draft, stage)]
    return [" ".join([*words, *([f"**{escaped(mark)}.**"] if mark else [])]), ""]


def difference_lines(stage: StageState) -> list[str]:
    """The figure of the differences to the best mean, with its caption; empty of a single scenario."""
    select = stage.stage.select
    if not stage.contests or select is None:
        return []
    family = pairs(len(stage.contests) + 1)
    flat = ""
    if any(contest.chances is None for contest in stage.contests):
        flat = " A difference that is the same in all folds shows no spread, so it has no interval."
    caption = (
        f"*{escaped(select.metric)} of each scenario minus that of the best mean, over the folds. Thick: the 95 %"
        f" interval of one comparison alone, by the corrected resampled t-test; thin: adjusted for"
        f" {'the one pair' if family == 1 else f'all {family} pairs'} of the stage (Bonferroni), beyond the figure"
        " where it is wider."
        f"{flat} In the band differences are within {select.margin:g}, which the study counts as equivalent.*"
    )
    return [f"![differences to the best]({differences_file(stage)})", "", caption, ""]


def differences_file(stage: StageState) -> str:
    """The name of the figure of the differences."""
    return f"differences-{stage.stage.name}.png"


def deciding(state: StudyState) -> StageState | None:
    """The last stage that has selected a scenario."""
    done = [s for s in state.stages if s.stage.select and s.finished and s.best is not None]
    return done[-1] if done else None


def _on_test(draft: Draft, best: ScenarioState) -> tuple[str, str | None]:
    """What the selected scenario gets right on the test set, and why that is less than it seems.

    Empty where it was not scored there.
    """
    test = next((test for test in draft.state.tests if test.id == best.id and test.finished), None)
    if test is None:
        return "", None
    estimates = draft.statistics.estimates
    e = next(e for e in estimates if (e.subject, e.on, e.metric) == (test.name, TEST, "accuracy"))
    what = averaged(test).removeprefix(test.name).removeprefix(", ")
    right = f"{e.value:.1%} of {e.n:,} {draft.unit.plural} right{_interval(e, '.1%')}"
    return f"; on the test set {f'the {what}' if what else 'it'} predicts {right}", e.mark


def _over_folds(draft: Draft, stage: StageState) -> Iterator[str]:
    """The sentences on its mean, and on whether the folds tell the others apart from the best."""
    select, top, others = stage.stage.select, stage.top, stage.contests
    assert select is not None and top is not None
    of = "its mean" if top is stage.best else f"the best mean, that of {escaped(top.name)}, in"
    words = f"Over the folds {of} {escaped(select.metric)} is {top.summary[f'{select.metric}_mean']:.3f}"
    on = chosen_on(stage)
    corrected = next((e for e in draft.statistics.estimates if e.on == on), None)
    if corrected is not None:
        words += f"; corrected for being the best of {len(others) + 1} it is {corrected.value:.3f}"
        words += _interval(corrected, ".3f")
    yield f"{words}."
    near = sum(not contest.resolved for contest in others)
    if others:
        who = of_others(near, len(others))
        yield f"{who[:1].upper()}{who[1:]} cannot be told apart from it." if near else "Every other is worse."


def _interval(e: Estimate, digits: str) -> str:
    return f" (95 % interval {e.interval[0]:{digits}} to {e.interval[1]:{digits}})" if e.interval else ""
