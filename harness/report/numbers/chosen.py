"""The metric of a stage's best scenario, corrected for having been chosen by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from harness.report.numbers.comparisons import RunOf
from harness.report.numbers.fold_numbers import mean_over_folds, metric_of, worst_over_folds
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Comparison, Estimate
from harness.stats.best_of import best_of
from harness.stats.bootstrap import Statistic
from harness.stats.clusters import Clusters
from harness.stats.proportions import Interval
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState
from harness.study.types import is_worst_group
from harness.study.worst_group import ImageGroups

FIRST_METHOD = "the share of the resamples in which its mean over the folds is the best"
LEAST_FIRST = 0.05  # a share that is worth a word
METHOD = "BBC-CV (Tsamardinos et al. 2018): chosen on resamples, scored on what is not in them"


def chosen_on(state: StageState) -> str:
    """The `on` of the corrected metric of a stage's best scenario."""
    return f"folds, best of {len(state.contests) + 1} in stage {state.stage.name}"


def _first_on(state: StageState) -> str:
    """The `on` of the shares of resamples in which a scenario of a stage is the first."""
    return f"resamples, first of {len(state.contests) + 1} in stage {state.stage.name}"


@dataclass(frozen=True)
class OnResamples:
    """What resamples of patients say of a finished stage.

    estimates: the corrected metric of the best scenario, and how often each would have been the best one. above: the
    interval of the best one's metric minus that of another, by the name of that one: of these fits, not of the recipes.
    """

    estimates: tuple[Estimate, ...] = ()
    above: Mapping[str, Interval] = field(default_factory=dict)

    def compared(self, comparison: Comparison) -> Comparison:
        """The comparison with the interval of the difference of these fits."""
        low, high = self.above.get(comparison.second, (np.nan, np.nan))
        return comparison.model_copy(update={"fits_low": low, "fits_high": high}) if np.isfinite(low) else comparison


def chosen(state: StageState, predictions: Predictions, groups: ImageGroups | None, run_of: RunOf) -> OnResamples:
    """What resamples say of a stage; empty where its best scenario was chosen from nothing.

    groups: that the worst one is looked for in; None where the stage does not select by it.
    """
    select, found = state.stage.select, state.contests
    if select is None or not found or not state.finished:
        return OnResamples()
    scenarios = [found[0].top, *(c.other for c in found)]
    statistics, patients = _statistics(select.metric, scenarios, predictions, groups)
    if len(statistics) < len(scenarios):
        return OnResamples()
    corrected = best_of(patients, statistics, select.maximize)
    metric, n = select.metric.removeprefix("val/"), len(patients)
    low, high = (corrected.low, corrected.high) if np.isfinite(corrected.low) else (None, None)
    best = Estimate(
        subject=found[0].top.name, on=chosen_on(state), metric=metric, value=corrected.value, n=n,
        bootstrap_low=low, bootstrap_high=high, method=METHOD, run_id=run_of("scenario", found[0].top.id),
    )  # fmt: skip
    first = [
        Estimate(
            subject=scenario.name, on=_first_on(state), metric=metric, value=share, n=n, method=FIRST_METHOD,
            run_id=run_of("scenario", scenario.id),
        )
        for scenario, share in zip(scenarios, corrected.first, strict=True)
    ]  # fmt: skip
    names = (scenario.name for scenario in scenarios[1:])
    return OnResamples((best, *first), dict(zip(names, corrected.above, strict=bool(corrected.above))))


def _statistics(
    metric: str, scenarios: Sequence[ScenarioState], predictions: Predictions, groups: ImageGroups | None
) -> tuple[list[Statistic], Clusters]:
    """The metric of each scenario over its folds as a statistic of the images, and the patients of these images."""
    positive, plain = predictions.positive, metric.removeprefix("val/")
    own = next((each for each in predictions.own if each.name == plain), None)
    images = predictions.out_of_fold(scenarios[0]).drop_duplicates("image")
    order, found = pd.Index(images["image"]), list[Statistic | None]()
    for frame in map(predictions.out_of_fold, scenarios):
        if groups is not None and is_worst_group(metric):
            found.append(worst_over_folds(frame, order, metric, positive, groups))
        else:
            found.append(mean_over_folds(frame, order, metric_of(plain, positive, own)))
    return [statistic for statistic in found if statistic is not None], pd.factorize(images["patient"])[0]


def corrected_value(state: StageState, estimates: Sequence[Estimate]) -> float | None:
    """The corrected metric of the stage's best scenario among these estimates; None where it has none."""
    on = chosen_on(state)
    return next((e.value for e in estimates if e.on == on), None)


def first_words(state: StageState, estimates: Sequence[Estimate]) -> str:
    """How stable the first place is: who has it how often on resamples; empty where nothing was resampled."""
    on = _first_on(state)
    shares = {e.subject: e.value for e in estimates if e.on == on}
    often = sorted(((share, name) for name, share in shares.items() if share >= LEAST_FIRST), reverse=True)
    if not often:
        return ""
    return f" First on resamples: {', '.join(f'{name} in {share:.0%}' for share, name in often[:5])}."
