"""Two scenarios on the same folds: their differences, the test of them, and the best scenario against the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from harness.stats import ALPHA
from harness.stats.paired import Test, corrected_t, holm
from harness.stats.practical import Chances, Practical, chances
from harness.study.metric_steps import metric_step
from harness.study.scenario_state import ScenarioState
from harness.study.stage import Select
from harness.study.types import is_worst_group
from harness.study.worst_group import worst_group_test


@dataclass(frozen=True)
class Contest:
    """A stage's top scenario against another one on the same folds: the corrected resampled t-test of the metric."""

    top: ScenarioState
    other: ScenarioState
    test: Test  # of top minus other
    chances: Chances | None  # of the top one, within the stage's margin; None where the folds do not show their spread
    p_holm: float  # adjusted for all pairs of the stage

    @property
    def resolved(self) -> bool:
        return self.p_holm < ALPHA

    @property
    def practical(self) -> Practical:
        """The practical verdict on the top one."""
        return self.chances.verdict(self.resolved) if self.chances else "not known"


def contests_of(top: ScenarioState, others: Sequence[ScenarioState], select: Select) -> list[Contest]:
    """The top scenario against every other one, in their order; all are finished.

    The folds chose which scenario is the top one, so its p values are adjusted for all pairs that they chose from.
    """
    tests = [fold_test(top, other, select.metric) for other in others]
    found = [chances(test, select.margin) for test in tests]
    found = found if select.maximize else [of and of.reversed for of in found]
    adjusted = holm([test.p for test in tests], pairs(len(others) + 1))
    return [Contest(top, *row) for row in zip(others, tests, found, adjusted, strict=True)]


def pairs(scenarios: int) -> int:
    """The number of pairs of so many scenarios."""
    return scenarios * (scenarios - 1) // 2


def fold_test(first: ScenarioState, second: ScenarioState, metric: str) -> Test:
    """The corrected resampled t-test of the first minus the second over their folds; both are finished."""
    ratio = max(map(val_to_train, (first, second)))
    if is_worst_group(metric):
        return worst_group_test(first.worst[metric], second.worst[metric], ratio)
    return corrected_t(fold_differences(first, second, metric), ratio, least_step(first, metric))


def fold_differences(first: ScenarioState, second: ScenarioState, metric: str) -> list[float]:
    """The metric of the first minus that of the second, in each of their folds; both are finished."""
    pairs = zip(first.jobs, second.jobs, strict=True)  # both in the order of repeats and folds
    return [first.metrics(a.id)[metric] - second.metrics(b.id)[metric] for a, b in pairs]


def val_to_train(state: ScenarioState) -> float:
    """n_val / n_train of a fold: 1 / (k - 1); more where a share of the training images is used."""
    return 1 / ((len({job.fold for job in state.jobs}) - 1) * state.settings.train_share)


def least_step(state: ScenarioState, metric: str) -> float:
    """By how much the least change of one fold's predictions moves a metric; 0 for losses, which have no steps.

    The validation images are those of a stratified fold: the training images, before oversampling, x n_val / n_train.
    Patients are counted.
    """
    if state.scores:
        of_class = zip(*(scores.counts for scores in state.scores.values()), strict=True)
        return metric_step(metric.removeprefix("val/"), [mean(map(float, counts)) for counts in of_class])
    ratio = val_to_train(state)
    counts = [r.class_counts["before"].values() for r in state.records.values() if "before" in r.class_counts]
    images = [ratio * mean(map(float, of_class)) for of_class in zip(*counts, strict=True)]
    return metric_step(metric.removeprefix("val/"), images)
