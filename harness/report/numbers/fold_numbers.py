"""The metrics of a scenario over its folds, with intervals over patients, and those of its out-of-fold predictions."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from harness.report.numbers.comparisons import OUT_OF_FOLD
from harness.report.numbers.predicted import prediction_estimates
from harness.report.numbers.predictions import Predictions, by_fold
from harness.report.numbers.records import Estimate
from harness.stats import ROUNDING
from harness.stats.arrays import arrays
from harness.stats.bootstrap import Statistic, cluster_bootstrap, known_mean_of, within
from harness.stats.own_metrics import OwnMetric
from harness.stats.weighted_metrics import weighted_metric
from harness.study.scenario_state import ScenarioState
from harness.study.types import higher_is_better, plain_metric
from harness.study.worst_group import ImageGroups

FOLD_RESAMPLES = 500  # each of them computes every metric in every fold
METHOD = "percentile bootstrap of the mean over the folds, the fits as they are"
OfPart = Callable[[pd.DataFrame], Statistic | None]


def scenario_estimates(state: ScenarioState, predictions: Predictions, run_id: str | None) -> list[Estimate]:
    """The estimates of a finished scenario: every metric over its folds, and the rates of its pooled predictions."""
    frame = predictions.out_of_fold(state)
    found = prediction_estimates(frame, state.name, OUT_OF_FOLD, predictions.positive, run_id, predictions.own)
    area = next((e for e in found if e.metric == "roc_auc" and predictions.positive), None)
    return [_as_area(e, area) for e in over_folds(state, frame, predictions, run_id)] + found


def _as_area(e: Estimate, area: Estimate | None) -> Estimate:
    """The estimate; where it is the mean area of the folds, with the interval by formula: one number has one."""
    if area is None or e.metric != "roc_auc" or area.low is None or abs(area.value - e.value) > ROUNDING:
        return e
    ends = {"low": area.low, "high": area.high, "method": area.method}
    return e.model_copy(update={**ends, "bootstrap_low": None, "bootstrap_high": None})


def fold_values(state: ScenarioState) -> dict[str, list[float]]:
    """Each validation metric in every fold that is done, repeat after repeat."""
    done = [state.metrics(job.id) for job in state.jobs if job.id in state.records]
    names = [name for name in done[0] if name.startswith("val/")] if done else []
    return {name.removeprefix("val/"): [metrics[name] for metrics in done] for name in names}


def over_folds(
    state: ScenarioState, frame: pd.DataFrame, predictions: Predictions, run_id: str | None
) -> list[Estimate]:
    """The mean of each metric over the folds, and its interval when patients are resampled."""
    values, images = fold_values(state), frame.drop_duplicates("image")
    order, own = pd.Index(images["image"]), {metric.name: metric for metric in predictions.own}
    found = [
        Estimate(
            subject=state.name, on="folds", metric=name, value=state.summary[f"val/{name}_mean"],
            sd=state.summary.get(f"val/{name}_std"), n=len(state.records), folds=values[name], run_id=run_id,
        )
        for name in values
    ]  # fmt: skip
    statistics = {}
    for i, e in enumerate(found):
        statistic = mean_over_folds(frame, order, metric_of(e.metric, predictions.positive, own.get(e.metric)))
        # a fold without images of a class counts as 0 in the mean of some metrics, and not at all in a resample
        if statistic is not None and abs(float(statistic(np.ones((1, len(order))))[0]) - e.value) < ROUNDING:
            statistics[i] = statistic
    if not statistics:
        return found
    bounds = cluster_bootstrap(pd.factorize(images["patient"])[0], list(statistics.values()), FOLD_RESAMPLES)
    for i, (low, high) in zip(statistics, bounds, strict=True):
        if np.isfinite(low):
            update = {"bootstrap_low": low, "bootstrap_high": high, "method": METHOD}
            found[i] = found[i].model_copy(update=update)
    return found


def metric_of(name: str, positive: str | None, own: OwnMetric | None = None) -> OfPart:
    """The statistic of this metric, or of one of the user's own, from the predictions of a fold."""

    def of_part(part: pd.DataFrame) -> Statistic | None:
        classes, probabilities, labels = arrays(part)
        if own is not None:
            return own.statistic(probabilities, labels)
        return weighted_metric(name, probabilities, labels, classes.index(positive) if positive else None)

    return of_part


def worst_over_folds(
    frame: pd.DataFrame, order: pd.Index, metric: str, positive: str | None, groups: ImageGroups
) -> Statistic | None:
    """The worst of the groups' means over the folds, each resample by its own worst group; None without a group."""
    parts = {tuple(part[["repeat", "fold"]].iloc[0]): part for part in by_fold(frame)}
    of_part, found = metric_of(plain_metric(metric).removeprefix("val/"), positive), []
    for name in groups.images:
        scored = groups.in_folds(name, metric, parts)
        each = [(order.get_indexer(pd.Index(part["image"])), of_part(part)) for part in scored.values()]
        if each:
            found.append(known_mean_of([within(rows, of) for rows, of in each if of is not None]))
    if not found:
        return None
    worst = np.fmin if higher_is_better(metric) else np.fmax
    return lambda weights: worst.reduce([statistic(weights) for statistic in found], axis=0)


def mean_over_folds(frame: pd.DataFrame, order: pd.Index, of_part: OfPart) -> Statistic | None:
    """The mean over the folds, as a statistic of the images in this order; None where a fold has none."""
    found = []
    for part in by_fold(frame):
        statistic = of_part(part)
        if statistic is None:
            return None
        found.append(within(order.get_indexer(pd.Index(part["image"])), statistic))
    return known_mean_of(found)
