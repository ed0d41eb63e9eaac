"""What the section on a test set says of several refits: their mean, their spread, and which of them is shown."""

import pandas as pd

from harness.report.draft import Draft
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.predictions import Predictions, refit_metrics
from harness.report.numbers.refit_numbers import spread_words
from harness.study.scenario_state import ScenarioState

SPREAD = {"mean": "mean", "std": "SD", "min": "least", "max": "largest"}  # by the function of pandas
NOTE = (
    "These intervals are for one more model by this recipe: that of the mean over refits, widened by their spread (by"
    " t(N - 1) SD sqrt(1 + 1 / N), squares added), which N refits tell only roughly."
)
OF_FIRST = (
    "What follows is of refit 1: classes, figures, thresholds, calibration and maps. So is what is compared with other"
    " scenarios or by subgroup."
)


def metrics_board(state: ScenarioState, predictions: Predictions) -> pd.DataFrame:
    """The metrics on the test set; of several refits a row for each, and below them mean, SD, least and largest."""
    found = refit_metrics(state, predictions)
    each = pd.DataFrame([*found.values()])
    if state.refits is None:
        return each
    spread = each.agg([*SPREAD]).set_axis([*SPREAD.values()])
    return pd.concat([each.set_axis([f"refit {number}" for number in found]), spread]).reset_index(names="of")


def refit_words(draft: Draft, state: ScenarioState, first: str) -> str:
    """The accuracy of the refits, its spread and its interval. first: that of refit 1."""
    done, asked = sum(len(each.records) for each in state.with_refits), len(state.scored_jobs)
    estimates = draft.statistics.estimates
    mean = next(e for e in estimates if (e.subject, e.on, e.metric) == (state.name, TEST, "accuracy"))
    low, high = mean.interval or (0.0, 1.0)
    of = f"all {asked} refits" if done == asked else f"**{done} of {asked} refits, the others are not done**"
    found = f"**{mean.value:.3f}**{spread_words(estimates, mean)}, 95 % interval {low:.3f} to {high:.3f}"
    return (
        f" mean accuracy{' of patients' * draft.unit.patients} over {of}, each with a seed of its own: {found}. Refit 1"
        f" has {first}; it was named before any was scored, and where the study ends with this model, it is the one"
        " that is registered and served."
    )
