"""The numbers of the scenarios that were scored on the test set."""

from collections.abc import Sequence
from statistics import mean

import pandas as pd

from harness.report.numbers.clinical import CLINICAL, clinical_estimates
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST, RunOf
from harness.report.numbers.conformal_numbers import CONFORMAL, conformal_estimates
from harness.report.numbers.gap_numbers import GAP, gap_estimates
from harness.report.numbers.predicted import OVER_CLASSES, prediction_estimates, with_bootstrap
from harness.report.numbers.predictions import Predictions, by_repeat
from harness.report.numbers.records import Estimate
from harness.report.numbers.refit_numbers import refit_estimates
from harness.report.numbers.reliability_numbers import RELIABILITY, reliability_estimates
from harness.report.numbers.scaled_numbers import SCALED_TEST, scaled_estimates
from harness.study import Study
from harness.study.scenario_state import ScenarioState
from harness.study.state import StudyState

CLASS_METRICS = ("precision", "recall", "f1", "specificity", "roc_auc", "pr_auc")
# the `on` of estimates from predictions of the test set
SCORED = (TEST, *CLINICAL, RELIABILITY + TEST, CONFORMAL, *SCALED_TEST)
ON_TEST = (*SCORED, GAP)  # the `on` of estimates that need a look at the test set


def tested_estimates(study: Study, state: StudyState, predictions: Predictions, run_of: RunOf) -> list[Estimate]:
    """The estimates on the test set, and those that compare them with the validation of the same scenario."""
    found: list[Estimate] = []
    for test in (test for test in state.tests if test.finished):
        validated = next(s for s in state.scenarios if s.id == test.id)
        of_test = _of_test(study, test, predictions.out_of_fold(validated), predictions, run_of("test", test.id))
        models = {"ensemble": len(test.jobs)} if len(test.jobs) > 1 else {}
        found += [e.model_copy(update=models) if e.on in SCORED else e for e in of_test]
    return found


def _of_test(
    study: Study, test: ScenarioState, out_of_fold: pd.DataFrame, predictions: Predictions, run_id: str | None
) -> list[Estimate]:
    """The estimates of one scenario: means over its refits; of thresholds and calibration those of the first one."""
    first, every = predictions.on_test(test), predictions.of_refits(test)
    name, positive, own = test.name, predictions.positive, predictions.own

    def on_images(frame: pd.DataFrame, on: str) -> list[Estimate]:
        parts = by_repeat(frame)
        scores = [
            Estimate(subject=name, on=on, metric=metric, of_class=of_class, value=value, run_id=run_id)
            for (metric, of_class), value in _scores(parts, predictions).items()
        ]
        found = prediction_estimates(frame, name, on, positive, run_id, own)
        return found + with_bootstrap(scores, parts, positive)

    found = refit_estimates(every, TEST, on_images, [metric.name for metric in own])
    found += gap_estimates(out_of_fold, every, positive, name, run_id)
    of_clinic = clinical_estimates(out_of_fold, first, positive, study, name)
    of_clinic += conformal_estimates(out_of_fold, first, name)
    of_clinic += scaled_estimates(out_of_fold, first, positive, name)
    found += [e.model_copy(update={"run_id": run_id}) for e in of_clinic]
    found += reliability_estimates(out_of_fold, name, OUT_OF_FOLD, run_id)
    return found + reliability_estimates(first, name, TEST, run_id)


def _scores(parts: Sequence[pd.DataFrame], predictions: Predictions) -> dict[tuple[str, str | None], float]:
    """The metrics that are not rates of images: losses and, without a positive class, means over classes.

    By name and class. parts: the refits; the means over them.
    """
    positive, values = predictions.positive, [predictions.metrics(part) for part in parts]
    means = {name: f"{name}{OVER_CLASSES}" for name in CLASS_METRICS if positive is None}
    names = (*means, *(name for name in ("loss", "pr_auc", "brier", "ece") if name not in means))
    return {
        (means.get(name, name), positive if name in CLASS_METRICS else None): mean(each[name] for each in values)
        for name in names
    }
