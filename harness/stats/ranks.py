"""Models on several data sets by their ranks: the tests of Friedman and Nemenyi; of two models that of Wilcoxon.

After Demsar 2006, JMLR 7:1-30, section 3. Ranks need no data set to be as hard as another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats import ALPHA

Scores = NDArray[np.float64]  # [data sets, models]
LEAST_MODELS = 3  # of the test of Friedman
LEAST_SETS = 2


@dataclass(frozen=True)
class RankTest:
    """The mean rank of each model, and whether they differ by more than chance.

    chi2, f: Friedman's statistic, and that of Iman and Davenport 1980, which is less conservative; p is of f.
    critical: two models differ where their mean ranks do by more (Nemenyi). None for two models, whose p is Wilcoxon's.
    """

    means: tuple[float, ...]
    data_sets: int
    chi2: float | None = None
    f: float | None = None
    p: float | None = None
    critical: float | None = None

    @property
    def resolved(self) -> bool:
        """Whether the ranks differ by more than chance."""
        return self.p is not None and self.p < ALPHA


def ranks(scores: Scores, maximize: bool = True) -> Scores:
    """The rank of every model on each data set, 1 the best; equal ones share the mean of their ranks."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-scores if maximize else scores, axis=1), dtype=np.float64)


def rank_test(scores: Scores, maximize: bool = True) -> RankTest:
    """Compare models [data sets, models] by their ranks.

    Friedman's statistic is that of Demsar, which is not adjusted for ties, so that ties make it smaller.
    """
    found = ranks(scores, maximize)
    means = found.mean(axis=0)
    count, models = found.shape
    if models < LEAST_MODELS or count < LEAST_SETS:
        return RankTest(tuple(means.tolist()), count, p=_wilcoxon(scores) if models == 2 else None)
    from scipy.special import fdtrc
    from scipy.stats import studentized_range

    chi2 = 12 * count / (models * (models + 1)) * float((means**2).sum() - models * (models + 1) ** 2 / 4)
    rest = count * (models - 1) - chi2
    f = (count - 1) * chi2 / rest if rest > 1e-9 else np.inf  # the same order on every data set
    p = float(fdtrc(models - 1, (models - 1) * (count - 1), f)) if np.isfinite(f) else 0.0
    q = float(studentized_range.ppf(1 - ALPHA, models, np.inf)) / np.sqrt(2)
    critical = float(q * np.sqrt(models * (models + 1) / (6 * count)))
    return RankTest(tuple(means.tolist()), count, chi2, float(f), p, critical)


def _wilcoxon(scores: Scores) -> float:
    """The two-sided p of Wilcoxon's signed-rank test of two models; the ranks of ties are split, as Demsar does."""
    from scipy.stats import wilcoxon

    differences = scores[:, 0] - scores[:, 1]
    return float(wilcoxon(differences, zero_method="zsplit").pvalue) if differences.any() else 1.0


def not_told_apart(means: Sequence[float], critical: float) -> list[tuple[int, ...]]:
    """The largest groups of models whose mean ranks differ by no more than the critical difference, best first.

    Each is the indices of its models by rank; a model alone is no group.
    """
    order = sorted(range(len(means)), key=lambda index: means[index])
    found: list[tuple[int, ...]] = []
    for start in range(len(order)):
        group = tuple(i for i in order[start:] if means[i] - means[order[start]] <= critical)
        if len(group) > 1 and not any(set(group) <= set(other) for other in found):
            found.append(group)
    return found
