"""The words on a stage's winner: how it was selected, and what the folds say of it."""

from collections.abc import Sequence

from harness.report.numbers.chosen import corrected_value, first_words
from harness.report.numbers.nested_numbers import nested_words
from harness.report.numbers.records import Estimate
from harness.study.number_words import is_are, of_others
from harness.study.state import StageState

_MEASURED = " The seconds are those of the machines that made the fits; on others another scenario may be the cheapest."


def selection_words(state: StageState, estimates: Sequence[Estimate] = ()) -> list[str]:
    """The sentences on a stage's winner, and on whether the folds distinguish the top scenario from the others.

    estimates: of the study, for the corrected metric of the best.
    """
    select, top, winner = state.stage.select, state.top, state.best
    if select is None or top is None or winner is None:
        return []
    found = state.contests
    unresolved = [c.other.name for c in found if not c.resolved]
    name, metric = top.name, select.metric
    worst = f" Its worst group is {top.worst[metric].group}." if metric in top.worst else ""
    if not found:
        words = f"**{name}** is the only scenario."
    elif unresolved:
        words = (
            f"**Cannot resolve a winner.** {name} has the best mean {metric}, but"
            f" {of_others(len(unresolved), len(found))} {is_are(len(unresolved))} not distinguishable from it"
            f" (corrected resampled t over folds, Holm): {', '.join(unresolved)}."
        )
    else:
        words = f"**{name}** is better in {metric} than every other (corrected resampled t over folds, Holm)."
    if found:
        equal = [c.other.name for c in found if c.practical == "equivalent"]
        words += f" Equivalent to it within {select.margin:g} (Bayesian correlated t): {', '.join(equal) or 'none'}."
    if state.chosen is not None:
        return [
            words + worst,
            "",
            f"Selected, by the leading numbers of the study and not by these: **{winner.name}**.",
        ]
    chosen = f"Selected by the rule `{select.rule_words}`: **{winner.name}**.{_MEASURED * (select.cost == 'seconds')}"
    optimism = f" It is the best of {len(found) + 1} by these very numbers, so its own are optimistic." if found else ""
    corrected = corrected_value(state, estimates)
    if corrected is not None:
        mean = top.summary[f"{metric}_mean"]
        optimism += f" Corrected for that, the {metric} of the best mean is {corrected:.3f} for {mean:.3f} (BBC-CV)."
    nested = nested_words(state, estimates)
    return [words + worst, "", chosen + optimism + first_words(state, estimates), *(["", nested] if nested else [])]
