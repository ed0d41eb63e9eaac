"""The metric of a stage's best scenario, corrected for having been chosen by it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.report.numbers.comparisons import RunOf
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Estimate
from harness.stats.arrays import arrays
from harness.stats.best_of import best_of
from harness.stats.bootstrap import Statistic, known_mean_of, within
from harness.stats.weighted_metrics import weighted_metric
from harness.study.state import StageState

FIRST_METHOD = "the share of the resamples in which its mean over the folds is the best"
LEAST_FIRST = 0.05  # a share that is worth a word
METHOD = "BBC-CV (Tsamardinos et al. 2018): chosen on resamples, scored on what is not in them"


def chosen_on(state: StageState) -> str:
    """The `on` of the corrected metric of a stage's best scenario."""
    return f"folds, best of {len(state.contests) + 1} in stage {state.stage.name}"


def _first_on(state: StageState) -> str:
    """The `on` of the shares of resamples in which a scenario of a stage is the first."""
    return f"resamples, first of {len(state.contests) + 1} in stage {state.stage.name}"


def chosen_estimates(state: StageState, predictions: Predictions, run_of: RunOf) -> list[Estimate]:
    """The corrected metric of a finished stage's best scenario, and how often each would have been the best one.

    Empty where it was chosen from nothing; also where resamples of images have no such metric: mcc, pr_auc, ece, that
    of the worst group, and own ones.
    """
    select, found = state.stage.select, state.contests
    if select is None or not found or not state.finished:
        return []
    scenarios = [found[0].top, *(c.other for c in found)]
    frames = [predictions.out_of_fold(s) for s in scenarios]
    order = pd.Index(frames[0]["image"].drop_duplicates())
    metric = select.metric.removeprefix("val/")
    statistics = [_over_folds(frame, order, metric, predictions.positive) for frame in frames]
    known = [statistic for statistic in statistics if statistic is not None]
    if len(known) < len(statistics):
        return []
    patients = frames[0].drop_duplicates("image").set_index("image")["patient"][order]
    corrected = best_of(pd.factorize(patients)[0], known, select.maximize)
    low, high = (corrected.low, corrected.high) if np.isfinite(corrected.low) else (None, None)
    return [
        Estimate(
            subject=found[0].top.name, on=chosen_on(state), metric=metric, value=corrected.value, n=len(order),
            bootstrap_low=low, bootstrap_high=high, method=METHOD, run_id=run_of("scenario", found[0].top.id),
        ),
        *(
            Estimate(subject=scenario.name, on=_first_on(state), metric=metric, value=share, n=len(order),
                     method=FIRST_METHOD, run_id=run_of("scenario", scenario.id))
            for scenario, share in zip(scenarios, corrected.first, strict=True)
        ),
    ]  # fmt: skip


def _over_folds(frame: pd.DataFrame, order: pd.Index, metric: str, positive: str | None) -> Statistic | None:
    """The mean of the metric over the folds, as a statistic of the images in this order; None where it has none."""
    found = []
    for _, part in frame.groupby([name for name in ("repeat", "fold") if name in frame]):
        classes, probabilities, labels = arrays(part)
        of_class = classes.index(positive) if positive else None
        statistic = weighted_metric(metric, probabilities, labels, of_class)
        if statistic is None:
            return None
        found.append(within(order.get_indexer(pd.Index(part["image"])), statistic))
    return known_mean_of(found)


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
