"""Tests of whether treating classes of unequal size did more than moving the decision, and the sentence on them."""

from collections.abc import Sequence

from harness.report.numbers.comparisons import judged, over_folds
from harness.report.numbers.records import Comparison, Estimate, Finding
from harness.report.numbers.treatments import BALANCED, MOVED, TREATED, Treated, is_treated, untreated
from harness.stats.paired import corrected_t
from harness.study.contests import val_to_train
from harness.study.number_words import number_of
from harness.study.unit import Unit

SENTENCE = "treatments"  # the kind of these findings
QUESTION = "Did a treatment do more than moving the decision?"
BOTH = f"{BALANCED}, both decisions moved"
SECOND = f"{BALANCED}, only the second one's decision moved"
_OF_TREATED = {BOTH: MOVED, SECOND: BALANCED}  # the metric of a comparison -> that of its treated scenario


def treatment_comparisons(scenarios: Sequence[Treated]) -> list[Comparison]:
    """Each treated scenario against the same one untreated with its decision moved, in two families of tests.

    In one family the decision of the treated scenario is moved too, in the other it is not.
    """
    plain = {t.state.settings.model_dump_json(): t for t in scenarios if not is_treated(t.state.settings)}
    treated = [t for t in scenarios if is_treated(t.state.settings)]
    pairs = [(t, plain[key]) for t in treated if (key := untreated(t.state.settings)) in plain]
    return [c for metric in _OF_TREATED for c in judged([_compared(metric, *pair) for pair in pairs])]


def _compared(metric: str, treated: Treated, plain: Treated) -> Comparison:
    first, second = treated.values[_OF_TREATED[metric]], plain.values[MOVED]
    ratio = max(val_to_train(treated.state), val_to_train(plain.state))
    test = corrected_t([a - b for a, b in zip(first, second, strict=True)], ratio)
    return over_folds((treated.state.name, plain.state.name), metric, test).model_copy(update={"on": TREATED})


def treatment_findings(comparisons: Sequence[Comparison], estimates: Sequence[Estimate], unit: Unit) -> list[Finding]:
    """For each untreated scenario the answer to QUESTION: whether a treatment did more than moving its decision."""
    of = {(e.subject, e.metric): e.value for e in estimates if e.on == TREATED}
    found = []
    for name in _untreated(comparisons):
        both, alone = ([c for c in comparisons if (c.second, c.metric) == (name, m)] for m in (BOTH, SECOND))
        best = max(both, key=lambda c: c.difference)
        before, after = of[name, BALANCED], of[name, MOVED]
        found.append(
            f"against {name}, untreated, with its decision moved: {_answer(both)}. Moving its decision takes its"
            f" balanced accuracy (of {unit.plural}, mean over the folds) from {before:.3f} to {after:.3f}. Where the"
            f" decision of the treated is moved too, {_most(best)}; where it is not, {_counted(alone)}"
        )
    return [Finding(kind=SENTENCE, text=text[0].upper() + text[1:]) for text in found]


def treatment_answer(comparisons: Sequence[Comparison], selected: str | None) -> str:
    """The answer in short, for the untreated scenario that the selected one is or was compared with, or the first."""
    families = {
        name: [c for c in comparisons if (c.second, c.metric) == (name, BOTH)] for name in _untreated(comparisons)
    }
    of_selected = (each for name, each in families.items() if selected in {name, *(c.first for c in each)})
    both = next(of_selected, next(iter(families.values()), None))
    if both is None:
        return ""
    best, more = max(both, key=lambda c: c.difference), f"; the section has {len(families)} untreated scenarios"
    moved = f"with all decisions moved {_most(best)}{more if len(families) > 1 else ''}"
    return f"{QUESTION[0].lower()}{QUESTION[1:]} {_answer(both)}; {moved}"


def _untreated(comparisons: Sequence[Comparison]) -> list[str]:
    """The untreated scenarios that others were compared with."""
    return list(dict.fromkeys(c.second for c in comparisons if c.metric in _OF_TREATED))


def _answer(family: Sequence[Comparison]) -> str:
    better = [c.first for c in family if c.verdict == "first is better"]
    if better:
        return f"Yes: {', '.join(better)}"
    treatments = "the one treatment" if len(family) == 1 else f"any of the {len(family)} treatments"
    return f"The folds do not show it for {treatments}"


def _most(best: Comparison) -> str:
    """What the treatment with the highest mean adds."""
    interval = "" if best.low is None or best.high is None else f" (95 % interval {_points(best.low, best.high)})"
    adjusted = (
        f", p = {best.p_holm:.2g} adjusted for {number_of(best.comparisons, 'test')}" if best.p_holm is not None else ""
    )
    return f"the best mean, {best.first}, is {_points(best.difference)} points away{interval}{adjusted}"


def _points(*values: float) -> str:
    return " to ".join(f"{100 * value:+.1f}" for value in values)


def _counted(family: Sequence[Comparison]) -> str:
    """How many treatments did more, as much and less."""
    verdicts = [c.verdict for c in family]
    more, less = verdicts.count("first is better"), verdicts.count("second is better")
    return f"{more} of {len(family)} did more and {less} less"
