"""What the selection of a stage is worth on images that took no part in it: nested cross-validation."""

from collections.abc import Sequence

from harness.report.numbers.fold_numbers import over_folds
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Estimate, Finding
from harness.store.results import Metrics
from harness.study.nested import NestedState
from harness.study.number_words import is_are, number_of
from harness.study.state import StageState

NESTED = "nested selection"  # the kind of the findings
METHOD = "percentile bootstrap of the mean over the outer folds, the fits as they are"
CHOSEN_METHOD = "the share of the outer folds without which it is selected"
# the `on` of a selection's metrics, and of how often it selects each scenario; the name of the stage follows
_ON, _CHOSEN_ON = "outer folds of stage ", "rest of each outer fold of stage "


def nested_estimates(nested: Sequence[NestedState], predictions: Predictions) -> list[Estimate]:
    """Every metric of each finished nested selection over its outer folds, and how often each scenario is selected."""
    found: list[Estimate] = []
    for state in (state for state in nested if state.finished):
        name, procedure, select = state.stage.name, state.procedure, state.stage.select
        of_procedure = over_folds(procedure, predictions.out_of_fold(procedure), predictions, None)
        found += [e.model_copy(update={"on": f"{_ON}{name}", "method": e.method and METHOD}) for e in of_procedure]
        found += [
            Estimate(
                subject=scenario, on=f"{_CHOSEN_ON}{name}", metric=select.metric.removeprefix("val/") if select else "",
                value=count / len(state.outer), hits=count, n=len(state.outer), method=CHOSEN_METHOD,
            )
            for scenario, count in state.chosen.items()
        ]  # fmt: skip
    return found


def nested_estimate(state: StageState, estimates: Sequence[Estimate]) -> Estimate | None:
    """The metric that a stage selects by, of its selection on the outer folds; None where there is none."""
    on, metric = f"{_ON}{state.stage.name}", state.stage.select and state.stage.select.metric.removeprefix("val/")
    return next((e for e in estimates if (e.on, e.metric) == (on, metric)), None)


def nested_words(state: StageState, estimates: Sequence[Estimate]) -> str:
    """The sentence on a nested selection that is finished; empty where there is none.

    `Nested: the selection, repeated without each of 5 outer folds and scored on it, has a mean val/accuracy of ...`.
    """
    e, select = nested_estimate(state, estimates), state.stage.select
    if e is None or select is None:
        return ""
    interval = f" (95 % interval {e.interval[0]:.3f} to {e.interval[1]:.3f})" if e.interval else ""
    shares = [found for found in estimates if found.on == f"{_CHOSEN_ON}{state.stage.name}"]
    chosen = ", ".join(f"{found.subject} in {found.hits} of {found.n}" for found in shares)
    return (
        f"Nested: the selection, repeated without each of {e.n} outer folds and scored on it, has a mean"
        f" {select.metric} of {e.value:.3f}{interval}; it selected {chosen}."
    )


def nested_metrics(estimates: Sequence[Estimate]) -> Metrics:
    """The metrics of all nested selections under their names in MLflow, `nested/STAGE/accuracy`."""
    on = {e.on: e.on.removeprefix(_ON) for e in estimates if e.on.startswith(_ON)}
    return {f"nested/{on[e.on]}/{e.metric}": e.value for e in estimates if e.on in on}


def nested_findings(
    nested: Sequence[NestedState], stages: Sequence[StageState], estimates: Sequence[Estimate]
) -> list[Finding]:
    """The sentence on each nested selection; of one that is not finished, how far it is."""
    of, found = {stage.stage.name: stage for stage in stages}, []
    for state in nested:
        name = state.stage.name
        words = nested_words(of[name], estimates) if state.finished else ""
        done = f"{state.done} of at most {number_of(state.planned, 'fit')} {is_are(state.done)} done"
        found.append(Finding(kind=NESTED, text=words or f"Nested: not finished, {done}.", where=name))
    return found
