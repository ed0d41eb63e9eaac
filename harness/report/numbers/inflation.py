"""The inflation by a leak: the same scenario with oversampling inside the fold and before the split."""

from harness.report.numbers.comparisons import judged, over_folds
from harness.report.numbers.marks import LEAKS
from harness.report.numbers.records import Comparison, Finding
from harness.study.contests import fold_test
from harness.study.scenario_state import ScenarioState

INFLATION = "inflation"  # the kind of these findings
METRICS = ("balanced_accuracy", "recall", "specificity", "roc_auc", "accuracy")


def leak_comparisons(scenarios: list[ScenarioState]) -> list[Comparison]:
    """Compare every finished scenario that oversamples before the split with its twin that does so inside the fold.

    They are one family of tests: Holm's p is over all of them.
    """
    finished = {state.settings.model_dump_json(): state for state in scenarios if state.finished}
    found = []
    for leaking in finished.values():
        if leaking.scenario.settings.leaks:
            inside = leaking.scenario.settings.model_copy(update={"oversampling": "random"})
            twin = finished.get(inside.model_dump_json())
            found += [_compare(leaking, twin, metric) for metric in METRICS] if twin else []
    return judged(found)


def _compare(leaking: ScenarioState, twin: ScenarioState, metric: str) -> Comparison:
    test = fold_test(leaking, twin, f"val/{metric}")
    found = over_folds((leaking.scenario.name, twin.scenario.name), metric, test)
    return found.model_copy(update={"mark": LEAKS})


def inflation_findings(comparisons: list[Comparison]) -> list[Finding]:
    """A sentence for each pair of twins: what the leak adds to balanced accuracy, which class shares do not change."""
    return [
        Finding(
            kind=INFLATION,
            text=f"{c.first}: oversampling before the split changes the balanced accuracy of {c.second} by"
            f" {100 * c.difference:+.1f} points over the folds (corrected resampled t, p = {c.p:.2g},"
            f" {c.p_holm:.2g} by Holm over {c.comparisons} tests)",
        )
        for c in comparisons
        if c.metric == "balanced_accuracy"
    ]
