"""The estimates of a study's scenarios with their intervals, and tests between scenarios."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from harness.report.numbers.estimates import from_confusion, over_repeats
from harness.report.numbers.predictions import Predictions, by_repeat
from harness.report.numbers.records import Comparison, Estimate, Verdict, verdict_of
from harness.stats.arrays import arrays
from harness.stats.bootstrap import Statistic, area, cluster_bootstrap, mean_of, ratio
from harness.stats.metrics import confusion_matrix
from harness.stats.own_metrics import OwnMetric
from harness.stats.paired import Test, delong, holm, mcnemar, mean_area
from harness.study.state import Contest, ScenarioState, StageState, contests

RunOf = Callable[[str, str], str | None]  # (level, key) -> the MLflow run
Pair = tuple[str, str]  # the names of two scenarios
OUT_OF_FOLD = "out of fold"
FIRST_REPEAT = "out of fold, first repeat"
TEST = "test set"


def scenario_estimates(state: ScenarioState, predictions: Predictions, run_id: str | None) -> list[Estimate]:
    """The estimates of a finished scenario: every metric over its folds, and the rates of its pooled predictions."""
    values = fold_values(state)
    means = [
        Estimate(
            subject=state.name, on="folds", metric=name, value=state.summary[f"val/{name}_mean"],
            sd=state.summary.get(f"val/{name}_std"), n=len(state.records), folds=values[name], run_id=run_id,
        )
        for name in values
    ]  # fmt: skip
    frame = predictions.out_of_fold(state)
    return means + prediction_estimates(frame, state.name, OUT_OF_FOLD, predictions.positive, run_id, predictions.own)


def fold_values(state: ScenarioState) -> dict[str, list[float]]:
    """Each validation metric in every fold that is done, repeat after repeat."""
    done = [state.metrics(job.id) for job in state.jobs if job.id in state.records]
    names = [name for name in done[0] if name.startswith("val/")] if done else []
    return {name.removeprefix("val/"): [metrics[name] for metrics in done] for name in names}


def prediction_estimates(
    frame: pd.DataFrame,
    subject: str,
    on: str,
    positive: str | None,
    run_id: str | None,
    own: Sequence[OwnMetric] = (),
) -> list[Estimate]:
    """The rates, scores and areas of predictions, with intervals over patients; with several repeats, their means.

    The bootstrap resamples patients with all their rows: every repeat of a resample has the same patients.
    """
    parts = by_repeat(frame)
    matrices = [confusion_matrix(*arrays(part)[1:]) for part in parts]
    classes = arrays(parts[0])[0]
    found = over_repeats([from_confusion(matrix, classes, subject, on) for matrix in matrices])
    found += _areas(parts, [positive] if positive else classes, subject, on)
    found += [_own(metric, parts, subject, on) for metric in own]
    statistics = {i: s for i, e in enumerate(found) if (s := _statistic(e, parts, own)) is not None}
    bounds_of = cluster_bootstrap(pd.factorize(parts[0]["patient"])[0], list(statistics.values()))
    for index, (low, high) in zip(statistics, bounds_of, strict=True):
        if np.isfinite(low):
            found[index] = found[index].model_copy(update={"bootstrap_low": low, "bootstrap_high": high})
    return [estimate.model_copy(update={"run_id": run_id}) for estimate in found]


def _areas(parts: Sequence[pd.DataFrame], names: Sequence[str], subject: str, on: str) -> list[Estimate]:
    """The area under the ROC curve of each class with at least two images in it and two outside it."""
    found = []
    for name in names:
        positive = (parts[0]["label"] == name).to_numpy()
        if min(positive.sum(), (~positive).sum()) < 2:
            continue
        scores = np.stack([part[f"prob_{name}"].to_numpy(np.float64) for part in parts])
        area_of = mean_area(scores, positive)
        method = f"{area_of.method}; the scores of all folds in one order" if on == OUT_OF_FOLD else area_of.method
        found.append(
            Estimate(
                subject=subject, on=on, metric="roc_auc", of_class=name, value=area_of.value, n=len(positive),
                low=area_of.low, high=area_of.high, method=method, repeats=len(parts),
            )
        )  # fmt: skip
    return found


def _own(metric: OwnMetric, parts: Sequence[pd.DataFrame], subject: str, on: str) -> Estimate:
    """A metric of the user's own, of these predictions; the mean over the repeats."""
    value = float(np.mean([metric.value(*arrays(part)[1:]) for part in parts]))
    return Estimate(subject=subject, on=on, metric=metric.name, value=value, n=len(parts[0]), repeats=len(parts))


def _statistic(estimate: Estimate, parts: Sequence[pd.DataFrame], own: Sequence[OwnMetric]) -> Statistic | None:
    """The statistic that the bootstrap computes for this estimate; None where it has no interval over patients."""
    named = next((metric for metric in own if metric.name == estimate.metric), None)
    each = [_of_repeat(estimate, part) if named is None else named.statistic(*arrays(part)[1:]) for part in parts]
    known = [statistic for statistic in each if statistic is not None]
    return mean_of(known) if len(known) == len(each) else None


def _of_repeat(estimate: Estimate, frame: pd.DataFrame) -> Statistic | None:
    classes, probabilities, labels = arrays(frame)
    predicted = probabilities.argmax(axis=1)
    if estimate.metric == "accuracy":
        return ratio(predicted == labels, np.ones(len(labels), dtype=bool))
    if estimate.of_class is None:
        return None
    index = classes.index(estimate.of_class)
    among = {"recall": labels == index, "precision": predicted == index}.get(estimate.metric)
    if among is not None:
        return ratio(predicted == labels, among) if among.any() else None  # no image counts: no resample has a value
    return area(probabilities[:, index], labels == index) if estimate.metric == "roc_auc" else None


def stage_comparisons(state: StageState, predictions: Predictions) -> list[Comparison]:
    """Compare the stage's top scenario with every other: over folds, and on the same out-of-fold images.

    With several repeats, the images of the first are compared: p values have no mean.
    """
    found = contests(state)
    if not found:
        return []
    metric = state.stage.select.metric if state.stage.select else ""
    recipes = [_of_contest(c, metric, len(found)) for c in found]
    scenarios = [found[0].top, *(c.other for c in found)]
    repeats = [by_repeat(predictions.out_of_fold(s)) for s in scenarios]
    fitted = [(s.name, parts[0]) for s, parts in zip(scenarios, repeats, strict=True)]
    on = FIRST_REPEAT if len(repeats[0]) > 1 else OUT_OF_FOLD
    return recipes + image_comparisons(fitted, on, predictions.positive)


def test_comparisons(
    winner: ScenarioState, others: Sequence[ScenarioState], predictions: Predictions
) -> list[Comparison]:
    """Compare the selected scenario with every other one that was scored on the same test images."""
    fitted = [(s.name, predictions.on_test(s)) for s in (winner, *others)]
    return image_comparisons(fitted, TEST, predictions.positive)


def _of_contest(contest: Contest, metric: str, family: int) -> Comparison:
    found = over_folds(contest.top.name, contest.other.name, metric, contest.test)
    verdict: Verdict = "first is better" if contest.resolved else "cannot resolve"  # in the metric's direction
    return found.model_copy(update={"p_holm": contest.p_holm, "comparisons": family, "verdict": verdict})


def over_folds(first: str, second: str, metric: str, test: Test) -> Comparison:
    """A test over folds as a comparison, not adjusted and without a verdict yet."""
    low, high = ends_of(test)
    return Comparison(
        first=first, second=second, on="folds", metric=metric.removeprefix("val/"), test="corrected resampled t",
        compares="recipes", difference=test.difference, low=low, high=high, p=test.p,
    )  # fmt: skip


def ends_of(test: Test) -> tuple[float, float] | tuple[None, None]:
    """The interval of a test; (None, None) where it has none."""
    return (test.low, test.high) if np.isfinite(test.low) else (None, None)


def image_comparisons(fitted: Sequence[tuple[str, pd.DataFrame]], on: str, positive: str | None) -> list[Comparison]:
    """Compare the fitted models of the first scenario with those of each other by McNemar's and DeLong's test.

    The tests are image by image and about these fitted models on these images: two fits by the same recipe differ
    significantly, too. So they give no verdict about scenarios.
    """
    (first, top), *others = fitted
    by_class = [_mcnemar((first, name), on, top, other) for name, other in others]
    by_area = [_delong((first, name), on, top, other, positive) for name, other in others] if positive else []
    return holm_adjusted(by_class) + holm_adjusted([c for c in by_area if c])


def _mcnemar(pair: Pair, on: str, top: pd.DataFrame, other: pd.DataFrame) -> Comparison:
    first, second = _right(top), _right(other)
    second = second.reindex(first.index)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return Comparison(
        first=pair[0], second=pair[1], on=on, metric="accuracy",
        test="exact McNemar", compares="fitted models", difference=float(first.mean() - second.mean()),
        p=mcnemar(only_first, only_second), only_first=only_first, only_second=only_second,
    )  # fmt: skip


def _right(frame: pd.DataFrame) -> pd.Series:
    """Whether each image is classified correctly."""
    _, probabilities, labels = arrays(frame)
    return pd.Series(probabilities.argmax(axis=1) == labels, index=frame["image"])


def _delong(pair: Pair, on: str, top: pd.DataFrame, other: pd.DataFrame, positive: str) -> Comparison | None:
    """The comparison of two areas; None where a class has fewer than two images, so that its variance is unknown."""
    is_positive = (top["label"] == positive).to_numpy()
    if min(is_positive.sum(), (~is_positive).sum()) < 2:
        return None
    scores = [frame.set_index("image")[f"prob_{positive}"] for frame in (top, other)]
    second = scores[1].reindex(scores[0].index).to_numpy(np.float64)
    test = delong(scores[0].to_numpy(np.float64), second, is_positive)
    low, high = ends_of(test)
    return Comparison(
        first=pair[0], second=pair[1], on=on, metric="roc_auc",
        test="DeLong", compares="fitted models", difference=test.difference, low=low, high=high, p=test.p,
    )  # fmt: skip


def judged(family: list[Comparison]) -> list[Comparison]:
    """Add Holm's p over all these comparisons of recipes, and the verdict by it; the metric is one to maximize."""
    return [
        c.model_copy(update={"verdict": verdict_of(c.difference, c.p_holm if c.p_holm is not None else 1.0)})
        for c in holm_adjusted(family)
    ]


def holm_adjusted(family: list[Comparison]) -> list[Comparison]:
    """Add the p values adjusted for the number of comparisons."""
    adjusted = holm([c.p if c.p is not None else 1.0 for c in family])
    return [
        c.model_copy(update={"p_holm": p, "comparisons": len(family)}) for c, p in zip(family, adjusted, strict=True)
    ]
