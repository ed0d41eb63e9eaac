"""What a protocol can resolve, known before anything is trained."""

import math

from harness.stats import ALPHA


def detectable_in_sd(folds: int, val_to_train: float, alpha: float = ALPHA, corrected: bool = True) -> float:
    """The smallest mean difference over folds that is significant, in standard deviations of the folds' differences.

    `corrected` by Nadeau and Bengio (2003), else the naive t-test.
    """
    if folds < 2:
        return math.inf
    from scipy.special import stdtrit  # a fifth of the import time of scipy.stats: `plan` is to stay quick

    spread = 1 / folds + (val_to_train if corrected else 0)
    return float(stdtrit(folds - 1, 1 - alpha / 2)) * math.sqrt(spread)


def detectable_by_mcnemar(discordant: int, alpha: float = ALPHA) -> int | None:
    """The smallest surplus of images right in one model alone that exact McNemar calls significant; None where none is.

    discordant: the images that just one of the two models gets right.
    """
    from scipy.special import bdtr

    fewer = [k for k in range(discordant // 2 + 1) if 2 * float(bdtr(k, discordant, 0.5)) < alpha]
    return discordant - 2 * max(fewer) if fewer else None
