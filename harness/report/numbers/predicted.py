"""The estimates from predictions, with their intervals over patients."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.numbers.estimates import OVER_PATIENTS, patients_of, rates_of, several_images
from harness.report.numbers.predictions import by_fold, by_repeat
from harness.report.numbers.records import Estimate
from harness.stats.area_within_folds import WITHIN_FOLDS, FoldScores, area_of_folds, area_within_folds
from harness.stats.arrays import arrays
from harness.stats.bootstrap import Statistic, cluster_bootstrap, mean_of
from harness.stats.clusters import Clusters
from harness.stats.own_metrics import OwnMetric
from harness.stats.weighted_metrics import weighted_metric

OVER_CLASSES = ", mean over classes"  # after the name of a metric


def prediction_estimates(
    frame: pd.DataFrame,
    subject: str,
    on: str,
    positive: str | None,
    run_id: str | None,
    own: Sequence[OwnMetric] = (),
) -> list[Estimate]:
    """The rates, scores and areas of predictions, with intervals over patients; with several repeats, their means.

    By formula for rates and areas, else by the bootstrap. It resamples patients with all their rows: every repeat of a
    resample has the same patients.
    """
    parts = by_repeat(frame)
    found = rates_of(parts, subject, on)
    found += _areas(frame, parts[0], [positive] if positive else arrays(parts[0])[0], (subject, on))
    found += [_own(metric, parts, subject, on) for metric in own]
    found = with_bootstrap(found, parts, positive, own)
    return [estimate.model_copy(update={"run_id": run_id}) for estimate in found]


def with_bootstrap(
    found: Sequence[Estimate], parts: Sequence[pd.DataFrame], positive: str | None, own: Sequence[OwnMetric] = ()
) -> list[Estimate]:
    """The estimates, those without an interval with that of resampled patients, as far as they are known metrics.

    parts: the predictions that they are of, of each repeat.
    """
    without = [i for i, e in enumerate(found) if e.interval is None]
    statistics = {i: s for i in without if (s := _statistic(found[i], parts, positive, own)) is not None}
    bounds_of = cluster_bootstrap(patients_of(parts[0]), list(statistics.values())) if statistics else []
    bounds = {i: each for i, each in zip(statistics, bounds_of, strict=True) if np.isfinite(each[0])}
    return [
        e.model_copy(update={"bootstrap_low": bounds[i][0], "bootstrap_high": bounds[i][1]}) if i in bounds else e
        for i, e in enumerate(found)
    ]


def _areas(frame: pd.DataFrame, first: pd.DataFrame, names: Sequence[str], of: tuple[str, str]) -> list[Estimate]:
    """The area under the ROC curve of each class with at least two images in it and two outside it.

    Out of fold that within folds, averaged: each fold has a model of its own, whose scores are on a scale of their own.
    first: the predictions of the first repeat, in the order of the images. of: the subject, and which images.
    """
    patients, found = patients_of(first), list[Estimate]()
    models, order = by_fold(frame), pd.Index(first["image"])
    rows = [order.get_indexer(pd.Index(part["image"])) for part in models]
    over = OVER_PATIENTS if several_images(patients) else ""
    over += WITHIN_FOLDS if any(len(each) < len(order) for each in rows) else ""
    for name in names:
        positive = (first["label"] == name).to_numpy()
        scores = (part[f"prob_{name}"].to_numpy(np.float64) for part in models)
        folds = [FoldScores(*each) for each in zip(rows, scores, strict=True)]
        area = area_within_folds(folds, positive, patients) if _twice(positive) else None
        if area is None:
            continue
        e = Estimate(
            subject=of[0], on=of[1], metric="roc_auc", of_class=name, value=area.value, n=len(positive),
            repeats=frame["repeat"].nunique() if "repeat" in frame else 1,
        )  # fmt: skip
        if np.isfinite(area.low):
            e = e.model_copy(update={"low": area.low, "high": area.high, "method": f"{area.method}{over}"})
        else:
            e = bootstrapped(e, patients, area_of_folds(folds, positive))
        found.append(e)
    return found


def _twice(positive: NDArray[np.bool_]) -> bool:
    return min(int(positive.sum()), int((~positive).sum())) >= 2


def bootstrapped(e: Estimate, patients: Clusters, statistic: Statistic) -> Estimate:
    """The estimate with the interval of this statistic when patients are resampled; without one if there is none."""
    ((low, high),) = cluster_bootstrap(patients, [statistic])
    return e.model_copy(update={"bootstrap_low": low, "bootstrap_high": high}) if np.isfinite(low) else e


def _own(metric: OwnMetric, parts: Sequence[pd.DataFrame], subject: str, on: str) -> Estimate:
    """A metric of the user's own, of these predictions; the mean over the repeats."""
    value = float(np.mean([metric.value(*arrays(part)[1:]) for part in parts]))
    return Estimate(subject=subject, on=on, metric=metric.name, value=value, n=len(parts[0]), repeats=len(parts))


def _statistic(
    estimate: Estimate, parts: Sequence[pd.DataFrame], positive: str | None, own: Sequence[OwnMetric]
) -> Statistic | None:
    """The statistic that the bootstrap computes for this estimate; None where it has no interval over patients."""
    named = next((metric for metric in own if metric.name == estimate.metric), None)
    each = [named.statistic(*arrays(part)[1:]) if named else _of_repeat(estimate, part, positive) for part in parts]
    known = [statistic for statistic in each if statistic is not None]
    return mean_of(known) if len(known) == len(each) else None


def _of_repeat(estimate: Estimate, frame: pd.DataFrame, positive: str | None) -> Statistic | None:
    """The statistic of one repeat; None also where no image counts, so that no resample has a value."""
    classes, probabilities, labels = arrays(frame)
    about = estimate.of_class or positive
    of_class = classes.index(about) if about in classes else None
    if estimate.metric == "roc_auc":  # of the folds
        return None
    statistic = weighted_metric(estimate.metric.removesuffix(OVER_CLASSES), probabilities, labels, of_class)
    whole = statistic(np.ones((1, len(labels)))) if statistic else np.array([np.nan])
    return statistic if np.isfinite(whole).all() else None
