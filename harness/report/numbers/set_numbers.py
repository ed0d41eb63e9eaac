"""The numbers of test sets beside the leading one, and the mean over test sets or sites, where there are three."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.data.inputs import Workspace
from harness.report.numbers.comparisons import TEST, RunOf
from harness.report.numbers.gap_numbers import GAP, gap_estimates
from harness.report.numbers.look_history import LookHistory
from harness.report.numbers.marks import Marks
from harness.report.numbers.predicted import prediction_estimates
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Estimate, Finding
from harness.report.numbers.refit_numbers import refit_estimates, refit_on
from harness.stats.random_effects import LEAST_EFFECTS, mean_rate
from harness.study.scenario_state import ScenarioState
from harness.study.state import StudyState


@dataclass(frozen=True)
class PooledOver:
    """What a random-effects mean is over: the `on` of the mean, and that of the prediction interval."""

    mean: str
    another: str


TEST_SETS = PooledOver("mean over test sets", "another test set, predicted")
SITES = PooledOver("mean over left-out sites", "another site, predicted")
TAU2, I2 = "tau2 of the logit, ", "I2, "  # before the metric that is pooled
SET_LOOKS = "looks at further test sets"  # the kind of these findings
METHOD = "random effects of the logit: DerSimonian-Laird, Hartung-Knapp"
PREDICTION = "random effects of the logit: prediction interval (Higgins, Thompson, Spiegelhalter)"


def on_set(name: str) -> str:
    """The `on` of estimates on a test set that is not the leading one."""
    return f"{TEST} {name}"


def gap_on(name: str) -> str:
    """The `on` of the gap between cross-validation and this set."""
    return f"{GAP} {name}"


def further_set_estimates(
    names: Sequence[str], state: StudyState, predictions: Predictions, run_of: RunOf, known: Sequence[Estimate]
) -> list[Estimate]:
    """The estimates of every finished test on each further set, and the means over all sets.

    names: of the further sets. known: the estimates on the leading one. With several refits the means over sets are of
    the first one: what a seed changes, it changes on all sets at once, which is no random effect of sets.
    """
    found: list[Estimate] = []
    for test in (test for test in state.tests if test.finished):
        of_test, ons = list[Estimate](), [TEST, *map(on_set, names)]
        validated = predictions.out_of_fold(next(s for s in state.scenarios if s.id == test.id))
        for name in names:
            of_test += _on_further_set(name, test, validated, predictions, run_of("test", test.id))
        every = [*known, *of_test]
        if any(e.subject == test.name and e.on == refit_on(TEST, 1) for e in known):
            ons = [refit_on(on, 1) for on in ons]
        of_test += mean_estimates(every, test.name, ons, predictions.positive, TEST_SETS)
        models = {"ensemble": len(test.jobs)} if len(test.jobs) > 1 else {}
        found += [e.model_copy(update=models) for e in of_test]
    return found


def _on_further_set(
    name: str, test: ScenarioState, validated: pd.DataFrame, predictions: Predictions, run_id: str | None
) -> list[Estimate]:
    """The estimates of one test on one set, and the gap to it. validated: the predictions out of fold."""
    positive, own, frame = predictions.positive, predictions.own, predictions.of_refits(test, name)

    def on_images(part: pd.DataFrame, on: str) -> list[Estimate]:
        return prediction_estimates(part, test.name, on, positive, run_id, own)

    gap = gap_estimates(validated, frame, positive, test.name, run_id)
    return [
        *refit_estimates(frame, on_set(name), on_images, [metric.name for metric in own]),
        *(e.model_copy(update={"on": gap_on(name)}) for e in gap),
    ]


def shown_on(estimates: Sequence[Estimate], subject: str, on: str, positive: str | None) -> list[Estimate]:
    """The estimates that tables of several sets show: accuracy, sensitivity, specificity, and the area.

    Of two classes the specificity is the recall of the other one, which has an interval over patients.
    """
    found = [e for e in estimates if e.subject == subject and e.on == on]
    recalls = [e for e in found if e.metric == "recall"]
    if positive is None:
        return [e for e in found if e.metric in ("accuracy", "roc_auc")]
    other = [e.model_copy(update={"metric": "specificity"}) for e in recalls if e.of_class != positive]
    return [
        *(e for e in found if e.metric == "accuracy"),
        *(e for e in recalls if e.of_class == positive),
        *(other if len(recalls) == 2 else ()),
        *(e for e in found if e.metric == "roc_auc" and e.of_class == positive),
    ]


def mean_estimates(
    estimates: Sequence[Estimate], subject: str, ons: Sequence[str], positive: str | None, pool: PooledOver
) -> list[Estimate]:
    """The random-effects mean of each shown metric over these images; empty where fewer than three have an interval.

    ons: the `on` of the estimates of each.
    """
    of_sets: dict[tuple[str, str | None], list[Estimate]] = {}
    for on in ons:
        for e in shown_on(estimates, subject, on, positive):
            if e.interval is not None:
                of_sets.setdefault((e.metric, e.of_class), []).append(e)
    return [e for found in of_sets.values() if len(found) >= LEAST_EFFECTS for e in _pooled(found, pool)]


def _pooled(of_sets: Sequence[Estimate], pool: PooledOver) -> Iterator[Estimate]:
    """The mean of one metric, where another value is expected, and the spread of the values."""
    first = of_sets[0]
    bounds = np.array([e.interval for e in of_sets], dtype=np.float64)
    values, images = np.array([(e.value, e.n or 1) for e in of_sets], dtype=np.float64).T
    found = mean_rate(values, bounds, images)

    def estimate(on: str, metric: str, value: float, **more: object) -> Estimate:
        about = {"subject": first.subject, "of_class": first.of_class, "n": len(of_sets), "run_id": first.run_id}
        return Estimate.model_validate({"on": on, "metric": metric, "value": value, **about, **more})

    yield estimate(pool.mean, first.metric, found.mean, low=found.low, high=found.high, method=METHOD)
    wide = {"low": found.prediction_low, "high": found.prediction_high, "method": PREDICTION}
    yield estimate(pool.another, first.metric, found.mean, **wide)
    yield estimate(pool.mean, f"{TAU2}{first.metric}", found.tau2)
    yield estimate(pool.mean, f"{I2}{first.metric}", found.i2)


def set_look_findings(workspace: Workspace, state: StudyState) -> list[Finding]:
    """What is known of looks at each further set, a finding for each; empty where nothing was scored."""
    dataset, found = workspace.inputs.dataset, []
    for name in dataset.further_sets:
        of_set = replace(workspace, inputs=replace(workspace.inputs, dataset=dataset.of_set(name)))
        line = LookHistory(of_set, state.scenarios, state.tests).line
        found += [Finding(kind=SET_LOOKS, text=f"{name}: {line}")] if line else []
    return found


def set_marks(workspace: Workspace, state: StudyState, marks: Marks) -> dict[tuple[str, str], str | None]:
    """The marks of estimates on further sets, by their subject and their `on`."""
    found: dict[tuple[str, str], str | None] = {}
    for name in workspace.inputs.dataset.further_sets:
        dataset = workspace.inputs.dataset.of_set(name)
        for test in state.tests:
            mark = marks.test(dataset, test.settings, workspace.ledger)
            found |= dict.fromkeys([(test.name, on_set(name)), (test.name, gap_on(name))], mark)
    return found
