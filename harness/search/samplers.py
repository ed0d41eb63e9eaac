"""The samplers that choose the points of a search, and the pruner that ends bad trials early."""

from statistics import median
from typing import Any, get_args, get_type_hints

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from harness.study.identity import derive_seed
from harness.study.search_block import Dimension, Point, Search
from harness.study.settings import Settings

STARTUP_TRIALS = 5  # complete ones, before any trial is pruned


def suggest(search: Search, trial: optuna.Trial) -> Point:
    """The point that a trial tries: a value for each parameter that is active there."""
    point: Point = {}
    for key in search.order:
        if search.active(key, point):
            point[key] = _value(trial, key, search.space[key])
    return point


def _value(trial: optuna.Trial, key: str, dimension: Dimension) -> Any:
    found = distribution(key, dimension)
    if isinstance(found, CategoricalDistribution):
        return trial.suggest_categorical(key, found.choices)
    if isinstance(found, IntDistribution):
        return trial.suggest_int(key, found.low, found.high, step=found.step, log=found.log)
    return trial.suggest_float(key, found.low, found.high, step=found.step, log=found.log)


def distribution(key: str, dimension: Dimension) -> CategoricalDistribution | IntDistribution | FloatDistribution:
    """Optuna's form of a parameter."""
    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None and high is not None
    if step is not None:
        high = dimension.levels()[-1]
    if _is_whole(key):
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(low, high, log=dimension.log, step=step)


def distributed(search: Search, point: Point) -> dict[str, BaseDistribution]:
    """Optuna's form of the parameters of a point."""
    return {key: distribution(key, search.space[key]) for key in point}


def _is_whole(key: str) -> bool:
    """Whether a setting is a whole number."""
    hint = get_type_hints(Settings)[key]
    return int in (hint, *get_args(hint))


def slot_sampler(search: Search, slot: int, workers: int) -> BaseSampler:
    """Optuna's sampler for the trial of this slot, seeded by it.

    So a search that was stopped continues as if it had not been, and with one worker the same seed gives the same
    trials. A grid needs no sampler: its points are enqueued.
    """
    seed = derive_seed("sampler", search.seed, slot)
    if search.sampler == "tpe":
        # `group` models a conditional parameter together with its parent
        return TPESampler(multivariate=True, group=True, constant_liar=workers > 1, seed=seed)
    if search.sampler == "gp":
        return GPSampler(seed=seed)
    return RandomSampler(seed=seed)


class FoldMedian(BasePruner):
    """Prunes a trial whose mean over its folds so far is worse than the complete trials' median over the same folds.

    Every trial runs its folds in the same order, so that the same step means the same folds and the difficulty of a
    fold cancels out.

    Why no other pruner: Wilcoxon's test cannot reject below 4 folds and pays off from about 10; successive halving
    and Hyperband need many more steps than there are folds; Optuna's MedianPruner compares a trial's best step, so
    that one easy fold protects it for good.
    """

    def __init__(self, maximize: bool) -> None:
        self._sign = 1 if maximize else -1

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        peers = [t.intermediate_values[step] for t in complete if step in t.intermediate_values]
        if step is None or len(peers) < STARTUP_TRIALS:
            return False
        return self._sign * trial.intermediate_values[step] < self._sign * median(peers)
