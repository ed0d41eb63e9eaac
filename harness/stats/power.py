"""The smallest effect that a protocol can detect, known before anything is trained."""

import math
from bisect import bisect_left

from harness.stats import ALPHA
from harness.stats.proportions import wilson

POWER = 0.8  # the chance to find a true difference: what studies are planned for


def detectable_in_sd(folds: int, val_to_train: float, alpha: float = ALPHA, corrected: bool = True) -> float:
    """The smallest significant mean difference over folds, in standard deviations of the folds' differences.

    corrected: by Nadeau and Bengio (2003); otherwise the naive t-test.
    """
    if folds < 2:
        return math.inf
    from scipy.special import stdtrit  # a fifth of the import time of scipy.stats: `plan` should stay fast

    spread = 1 / folds + (val_to_train if corrected else 0)
    return float(stdtrit(folds - 1, 1 - alpha / 2)) * math.sqrt(spread)


def power_of_folds(sds: float, folds: int, val_to_train: float, alpha: float = ALPHA) -> float:
    """The chance that the corrected resampled t-test finds a true difference of so many SDs of the folds' differences.

    By the noncentral t distribution, under the correlation of folds that the test assumes. The smallest difference that
    is significant has a power of about one half.
    """
    if folds < 2:
        return 0.0
    from scipy.special import nctdtr, stdtrit

    error, least = math.sqrt(1 / folds + val_to_train), float(stdtrit(folds - 1, 1 - alpha / 2))
    return 1 - float(nctdtr(folds - 1, sds / error, least))


def resolved_in_sd(folds: int, val_to_train: float, alpha: float = ALPHA) -> float:
    """The true difference, in SDs of the folds' differences, that is found with the usual power; by bisection."""
    if folds < 2:
        return math.inf
    low, high = 0.0, 2 * detectable_in_sd(folds, val_to_train, alpha)
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if power_of_folds(middle, folds, val_to_train, alpha) < POWER else (low, middle)
    return high


def half_width(rate: float, n: int) -> float:
    """Half the width of the 95 % interval of a proportion, by Wilson's score."""
    low, high = wilson(rate * n, n)
    return (high - low) / 2


def images_for(rate: float, half: float) -> int:
    """The fewest independent images whose proportion of this rate has an interval of at most this half width."""
    return 1 + bisect_left(range(1, 10**8), True, key=lambda n: half_width(rate, n) <= half)
