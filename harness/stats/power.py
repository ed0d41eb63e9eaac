"""The smallest effect that a protocol can detect, known before anything is trained."""

import math

from harness.stats import ALPHA


def detectable_in_sd(folds: int, val_to_train: float, alpha: float = ALPHA, corrected: bool = True) -> float:
    """The smallest significant mean difference over folds, in standard deviations of the folds' differences.

    corrected: by Nadeau and Bengio (2003); otherwise the naive t-test.
    """
    if folds < 2:
        return math.inf
    from scipy.special import stdtrit  # a fifth of the import time of scipy.stats: `plan` should stay fast

    spread = 1 / folds + (val_to_train if corrected else 0)
    return float(stdtrit(folds - 1, 1 - alpha / 2)) * math.sqrt(spread)


def detectable_by_mcnemar(discordant: int, alpha: float = ALPHA) -> int | None:
    """The smallest significant difference in correct images by the exact McNemar test; None where none is.

    discordant: the number of images that only one of the two models gets right.
    """
    from scipy.special import bdtr

    fewer = [k for k in range(discordant // 2 + 1) if 2 * float(bdtr(k, discordant, 0.5)) < alpha]
    return discordant - 2 * max(fewer) if fewer else None
