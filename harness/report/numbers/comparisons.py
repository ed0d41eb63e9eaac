"""The tests between scenarios: of recipes over the folds, and of fitted models on one set."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.numbers.estimates import patients_of
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Comparison, Verdict, verdict_of
from harness.stats.arrays import arrays
from harness.stats.fitted_models import accuracy_difference, area_difference
from harness.stats.paired import Test, holm
from harness.stats.practical import Chances, Practical, chances
from harness.study.contests import Contest, fold_test, pairs
from harness.study.scenario_state import ScenarioState
from harness.study.stage import DEFAULT_MARGIN, Select
from harness.study.state import StageState

RunOf = Callable[[str, str], str | None]  # (level, key) -> the MLflow run
Pair = tuple[str, str]  # the names of two scenarios
OUT_OF_FOLD = "out of fold"
TEST = "test set"
FITTED_TESTS = {"accuracy": "accuracy, clustered", "roc_auc": "DeLong, clustered"}  # by metric


def stage_comparisons(state: StageState) -> list[Comparison]:
    """Compare the recipe of the stage's top scenario with that of every other, over the folds."""
    found, select = state.contests, state.stage.select
    return [_of_contest(contest, select, pairs(len(found) + 1)) for contest in found] if select else []


def pair_comparison(stage: StageState, first: ScenarioState, second: ScenarioState) -> Comparison:
    """Compare the recipes of two finished scenarios of a stage over the folds, by its metric, else by val/accuracy.

    Whoever asks has seen the numbers, so p is adjusted for all pairs of the stage: as in the report where the best
    scenario is one of the two, else by Bonferroni.
    """
    select, names = stage.stage.select or Select(metric="val/accuracy"), (first.name, second.name)
    test, family = fold_test(first, second, select.metric), pairs(len(stage.scenarios))
    found = over_folds(names, select.metric, test, select.margin, select.maximize)
    holms = {frozenset((c.first, c.second)): c.p_holm for c in stage_comparisons(stage)}
    p = holms.get(frozenset(names)) or min(1.0, family * test.p)
    verdict = verdict_of(found.difference if select.maximize else -found.difference, p)
    practical = _practical(found, resolved=verdict != "cannot resolve")
    adjusted = {"p_holm": p, "comparisons": family, "verdict": verdict, "practical": practical}
    return found.model_copy(update=adjusted)


def test_comparisons(
    winner: ScenarioState, others: Sequence[ScenarioState], predictions: Predictions
) -> list[Comparison]:
    """Compare the selected scenario with every other one that was scored on the same test images."""
    fitted = [(s.name, predictions.on_test(s)) for s in (winner, *others)]
    return fitted_comparisons(fitted, TEST, predictions.positive)


def _of_contest(contest: Contest, select: Select, family: int) -> Comparison:
    names = (contest.top.name, contest.other.name)
    found = over_folds(names, select.metric, contest.test, select.margin, select.maximize)
    verdict: Verdict = "first is better" if contest.resolved else "cannot resolve"  # in the metric's direction
    of_family = {"p_holm": contest.p_holm, "comparisons": family}
    return found.model_copy(update={**of_family, "verdict": verdict, "practical": contest.practical})


def over_folds(
    pair: Pair, metric: str, test: Test, margin: float = DEFAULT_MARGIN, maximize: bool = True
) -> Comparison:
    """A test over folds as a comparison, not adjusted and without a verdict yet. maximize: whether more is better."""
    low, high = ends_of(test)
    found = chances(test, margin)
    of_first = found if found is None or maximize else found.reversed
    return Comparison(
        first=pair[0], second=pair[1], on="folds", metric=metric.removeprefix("val/"), test="corrected resampled t",
        compares="recipes", difference=test.difference, low=low, high=high, p=test.p,
        margin=margin, **(asdict(of_first) if of_first else {}),
    )  # fmt: skip


def ends_of(test: Test) -> tuple[float, float] | tuple[None, None]:
    """The interval of a test; (None, None) where it has none."""
    return (test.low, test.high) if np.isfinite(test.low) else (None, None)


def fitted_comparisons(fitted: Sequence[tuple[str, pd.DataFrame]], on: str, positive: str | None) -> list[Comparison]:
    """Compare the fitted model of the first scenario with that of each other, on the same images of whole patients.

    Accuracies, and areas under the ROC curve where there is a positive class. The tests are about these fitted models:
    two fits by the same recipe may differ significantly, too. So they give no verdict about scenarios.
    """
    (first, top), *others = fitted
    rows = top.set_index("image")
    pairs = [((first, name), rows, other.set_index("image").loc[rows.index]) for name, other in others]
    by_class = [_accuracies(*pair, on) for pair in pairs]
    by_area = [_test_of_areas(*pair, on, positive) for pair in pairs] if positive else []
    return holm_adjusted(by_class) + holm_adjusted([c for c in by_area if c])


def _accuracies(pair: Pair, top: pd.DataFrame, other: pd.DataFrame, on: str) -> Comparison:
    first, second = (right(frame) for frame in (top, other))
    found = accuracy_comparison(pair, on, accuracy_difference(first, second, patients_of(top)))
    counts = {"only_first": int((first & ~second).sum()), "only_second": int((second & ~first).sum())}
    return found.model_copy(update=counts)


def accuracy_comparison(pair: Pair, on: str, test: Test) -> Comparison:
    """A test of the accuracies of two fitted models as a comparison, not adjusted yet."""
    return _fitted(pair, on, "accuracy", test)


def right(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each image is classified correctly."""
    _, probabilities, labels = arrays(frame)
    found: NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return found


def _test_of_areas(pair: Pair, top: pd.DataFrame, other: pd.DataFrame, on: str, positive: str) -> Comparison | None:
    """The comparison of two areas; None where a class has fewer than two images, so that its variance is unknown."""
    is_positive = (top["label"] == positive).to_numpy()
    if min(is_positive.sum(), (~is_positive).sum()) < 2:
        return None
    first, second = (frame[f"prob_{positive}"].to_numpy(np.float64) for frame in (top, other))
    return _fitted(pair, on, "roc_auc", area_difference(first, second, is_positive, patients_of(top)))


def _fitted(pair: Pair, on: str, metric: str, test: Test) -> Comparison:
    """A test of two fitted models as a comparison, not adjusted yet."""
    low, high = ends_of(test)
    return Comparison(
        first=pair[0], second=pair[1], on=on, metric=metric, test=FITTED_TESTS[metric],
        compares="fitted models", difference=test.difference, low=low, high=high, p=test.p,
    )  # fmt: skip


def judged(family: list[Comparison], maximize: bool = True, of: int | None = None) -> list[Comparison]:
    """Add Holm's p over all these comparisons of recipes, and the verdicts. maximize: whether more is better.

    of: the number of comparisons that these were chosen from, where that is more.
    """
    found = []
    for c in holm_adjusted(family, of):
        difference = c.difference if maximize else -c.difference
        verdict = verdict_of(difference, c.p_holm if c.p_holm is not None else 1.0)
        practical = _practical(c, resolved=verdict != "cannot resolve")
        found.append(c.model_copy(update={"verdict": verdict, "practical": practical}))
    return found


def _practical(c: Comparison, resolved: bool) -> Practical:
    """The practical verdict on a comparison of recipes; resolved: whether Holm's p finds a difference."""
    if c.better is None or c.equivalent is None or c.worse is None:
        return "not known"
    return Chances(c.better, c.equivalent, c.worse).verdict(resolved)


def holm_adjusted(family: list[Comparison], of: int | None = None) -> list[Comparison]:
    """Add the p values adjusted for the number of comparisons; of: that of which these were chosen."""
    adjusted, count = holm([c.p if c.p is not None else 1.0 for c in family], of), of or len(family)
    return [c.model_copy(update={"p_holm": p, "comparisons": count}) for c, p in zip(family, adjusted, strict=True)]
