"""The practical verdict on two recipes: the Bayesian correlated t-test with a region of practical equivalence.

Benavoli, Corani, Demsar & Zaffalon 2017, JMLR 18(77):1-36, section 4.2.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.stats import UPPER_END
from harness.stats.paired import Test

PROBABLE = 0.95  # a verdict needs this probability
Practical = Literal["better", "equivalent", "worse", "not known"]  # of the first


@dataclass(frozen=True)
class Chances:
    """The probabilities that the first is better by more than a margin, equivalent within it, and worse by more."""

    better: float
    equivalent: float
    worse: float

    @property
    def reversed(self) -> "Chances":
        """Those of a metric where less is better."""
        return Chances(self.worse, self.equivalent, self.better)

    def verdict(self, resolved: bool) -> Practical:
        """The practical verdict on the first.

        resolved: whether the corrected resampled t, adjusted for all comparisons of its family, finds a difference.
        The posterior is not adjusted for their number, so without it nothing is better or worse.
        """
        if self.equivalent > PROBABLE:
            return "equivalent"
        if resolved and max(self.better, self.worse) > PROBABLE:
            return "better" if self.better > self.worse else "worse"
        return "not known"


def chances(test: Test, margin: float) -> Chances | None:
    """The chances of a difference whose corrected resampled t-test this is; None where that has no interval.

    The posterior of the difference is Student's t with folds - 1 degrees of freedom, with the mean and the error of
    that test: for rho / (1 - rho) = n_val / n_train, Benavoli's correlation, they are the same.
    """
    if test.folds is None or not np.isfinite(test.high):
        return None
    from scipy.special import stdtr, stdtrit

    freedom = test.folds - 1
    error = (test.high - test.difference) / float(stdtrit(freedom, UPPER_END))
    below, within = (float(stdtr(freedom, (end - test.difference) / error)) for end in (-margin, margin))
    return Chances(1 - within, within - below, below)
