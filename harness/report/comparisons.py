"""A study's numbers with their intervals, and its scenarios against each other."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from harness.ledger import Ledger
from harness.report.estimates import from_confusion
from harness.report.schema import Comparison, Estimate, Verdict, verdict_of
from harness.report.tables import SHOWN, arrays, averaged, pooled
from harness.stages import Contest, ScenarioState, StageState, contests
from harness.statistics.bootstrap import Statistic, area, cluster_bootstrap, ratio
from harness.statistics.paired import delong, delong_interval, holm, mcnemar
from harness.training.metrics import confusion

RunOf = Callable[[str, str], str | None]  # (level, key) -> the MLflow run
OUT_OF_FOLD = "out of fold"
TEST = "test set"


def scenario_estimates(
    state: ScenarioState, ledger: Ledger, positive: str | None, run_id: str | None
) -> list[Estimate]:
    """What a finished scenario reached: means over the folds, and rates of its pooled out-of-fold predictions."""
    summary = state.summary
    means = [
        Estimate(
            subject=state.scenario.name, on="folds", metric=name, value=summary[f"val/{name}_mean"],
            sd=summary.get(f"val/{name}_std"), n=len(state.records), run_id=run_id,
        )
        for name in SHOWN
    ]  # fmt: skip
    frame = averaged(pooled(list(state.jobs), ledger))
    return means + prediction_estimates(frame, state.scenario.name, OUT_OF_FOLD, positive, run_id)


def prediction_estimates(
    frame: pd.DataFrame, subject: str, on: str, positive: str | None, run_id: str | None
) -> list[Estimate]:
    """The rates, scores and areas of one row of predictions for each image, with intervals over patients."""
    classes, probabilities, labels = arrays(frame)
    found = from_confusion(confusion(probabilities, labels), classes, subject, on)
    for name in [positive] if positive else classes:
        index = classes.index(name)
        if min(np.sum(labels == index), np.sum(labels != index)) >= 2:
            value, low, high = delong_interval(probabilities[:, index], labels == index)
            found.append(
                Estimate(
                    subject=subject, on=on, metric="roc_auc", of_class=name, value=value, n=len(labels),
                    low=low, high=high, method="DeLong",
                )
            )  # fmt: skip
    statistics = {i: s for i, e in enumerate(found) if (s := _statistic(e, frame)) is not None}
    bounds_of = cluster_bootstrap(pd.factorize(frame["patient"])[0], list(statistics.values()))
    for index, (low, high) in zip(statistics, bounds_of, strict=True):
        found[index] = found[index].model_copy(update={"bootstrap_low": low, "bootstrap_high": high})
    return [estimate.model_copy(update={"run_id": run_id}) for estimate in found]


def _statistic(estimate: Estimate, frame: pd.DataFrame) -> Statistic | None:
    """What the bootstrap computes anew for this estimate; None where it is left to the other intervals."""
    classes, probabilities, labels = arrays(frame)
    called = probabilities.argmax(axis=1)
    if estimate.n == 0:  # nothing was called so: no resample has a value
        return None
    if estimate.metric == "accuracy":
        return ratio(called == labels, np.ones(len(labels), dtype=bool))
    if estimate.of_class is None:
        return None
    index = classes.index(estimate.of_class)
    if estimate.metric == "recall":
        return ratio(called == labels, labels == index)
    if estimate.metric == "precision":
        return ratio(called == labels, called == index)
    return area(probabilities[:, index], labels == index) if estimate.metric == "roc_auc" else None


def stage_comparisons(state: StageState, ledger: Ledger, positive: str | None) -> list[Comparison]:
    """The stage's top scenario against every other: over folds, and on the same out-of-fold images."""
    found = contests(state)
    if not found:
        return []
    frames = {c.other.scenario.id: averaged(pooled(list(c.other.jobs), ledger)) for c in found}
    top = found[0].top
    of_top = averaged(pooled(list(top.jobs), ledger))
    pairs = [((top.scenario.name, c.other.scenario.name), frames[c.other.scenario.id]) for c in found]
    by_images = [_mcnemar(pair, OUT_OF_FOLD, of_top, frame) for pair, frame in pairs]
    by_area = [_delong(pair, OUT_OF_FOLD, of_top, frame, positive) for pair, frame in pairs] if positive else []
    metric = state.stage.select.metric if state.stage.select else ""
    return [_over_folds(c, metric, len(found)) for c in found] + _adjusted(by_images) + _adjusted(by_area)


def test_comparisons(
    winner: ScenarioState, others: Sequence[ScenarioState], ledger: Ledger, positive: str | None
) -> list[Comparison]:
    """The selected scenario against every other one that was scored on the same test images."""
    top = averaged(pooled(list(winner.jobs), ledger))
    by_images, by_area = [], []
    for other in others:
        pair, frame = (winner.scenario.name, other.scenario.name), averaged(pooled(list(other.jobs), ledger))
        by_images.append(_mcnemar(pair, TEST, top, frame))
        if positive:
            by_area.append(_delong(pair, TEST, top, frame, positive))
    return _adjusted(by_images) + _adjusted(by_area)


def _over_folds(contest: Contest, metric: str, family: int) -> Comparison:
    test, top, other = contest.test, contest.top.scenario.name, contest.other.scenario.name
    finite = bool(np.isfinite(test.low))
    verdict: Verdict = "cannot resolve"
    if contest.resolved:
        verdict = "first is better"  # the top is so by the direction of its metric
    return Comparison(
        first=top, second=other, on="folds", metric=metric.removeprefix("val/"), test="corrected resampled t",
        difference=test.difference, low=test.low if finite else None, high=test.high if finite else None,
        p=test.p, p_holm=contest.p_holm, comparisons=family, verdict=verdict,
    )  # fmt: skip


def _mcnemar(pair: tuple[str, str], on: str, top: pd.DataFrame, other: pd.DataFrame) -> Comparison:
    first, second = _right(top), _right(other)
    second = second.reindex(first.index)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return Comparison(
        first=pair[0], second=pair[1], on=on, metric="accuracy",
        test="exact McNemar", difference=float(first.mean() - second.mean()),
        p=mcnemar(only_first, only_second), only_first=only_first, only_second=only_second,
    )  # fmt: skip


def _right(frame: pd.DataFrame) -> pd.Series:
    """Whether each image is classified correctly."""
    _, probabilities, labels = arrays(frame)
    return pd.Series(probabilities.argmax(axis=1) == labels, index=frame["image"])


def _delong(pair: tuple[str, str], on: str, top: pd.DataFrame, other: pd.DataFrame, positive: str) -> Comparison:
    scores = [frame.set_index("image")[f"prob_{positive}"] for frame in (top, other)]
    second = scores[1].reindex(scores[0].index).to_numpy(np.float64)
    test = delong(scores[0].to_numpy(np.float64), second, (top["label"] == positive).to_numpy())
    return Comparison(
        first=pair[0], second=pair[1], on=on, metric="roc_auc",
        test="DeLong", difference=test.difference, low=test.low, high=test.high, p=test.p,
    )  # fmt: skip


def _adjusted(family: list[Comparison]) -> list[Comparison]:
    """The comparisons of one test with Holm's p and the verdict that it gives."""
    adjusted = holm([c.p if c.p is not None else 1.0 for c in family])
    return [
        c.model_copy(update={"p_holm": p, "comparisons": len(family), "verdict": verdict_of(c.difference, p)})
        for c, p in zip(family, adjusted, strict=True)
    ]
