"""How much a leak flatters: the same scenario with oversampling inside the fold and before the split."""

import numpy as np

from harness.report.marks import LEAKS
from harness.report.schema import Comparison, Finding, verdict_of
from harness.stages import ScenarioState, fold_differences, val_to_train
from harness.statistics.paired import corrected_t

METRICS = ("balanced_accuracy", "recall", "specificity", "roc_auc", "accuracy")


def leak_comparisons(scenarios: list[ScenarioState]) -> list[Comparison]:
    """Every finished scenario that oversamples before the split against its twin that does so inside the fold."""
    finished = {state.scenario.settings.model_dump_json(): state for state in scenarios if state.finished}
    found = []
    for leaking in finished.values():
        if leaking.scenario.settings.leaks:
            inside = leaking.scenario.settings.model_copy(update={"oversampling": "random"})
            twin = finished.get(inside.model_dump_json())
            found += [_compare(leaking, twin, metric) for metric in METRICS] if twin else []
    return found


def _compare(leaking: ScenarioState, twin: ScenarioState, metric: str) -> Comparison:
    test = corrected_t(fold_differences(leaking, twin, f"val/{metric}"), val_to_train(twin))
    finite = bool(np.isfinite(test.low))
    return Comparison(
        first=leaking.scenario.name, second=twin.scenario.name, on="folds", metric=metric,
        test="corrected resampled t", difference=test.difference,
        low=test.low if finite else None, high=test.high if finite else None, p=test.p,
        verdict=verdict_of(test.difference, test.p),
        mark=LEAKS,
    )  # fmt: skip


def inflation_findings(comparisons: list[Comparison]) -> list[Finding]:
    """A sentence for each twin pair: what the leak adds to balanced accuracy, which the class shares do not touch."""
    return [
        Finding(
            kind="inflation",
            text=f"{c.first}: oversampling before the split changes the balanced accuracy of {c.second} by"
            f" {100 * c.difference:+.1f} points over the folds (p = {c.p:.2g}, corrected resampled t)",
        )
        for c in comparisons
        if c.metric == "balanced_accuracy"
    ]
