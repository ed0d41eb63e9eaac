import numpy as np
import pytest

from harness.stats.paired import corrected_t, mcnemar
from harness.stats.power import detectable_by_mcnemar, detectable_in_sd


@pytest.mark.parametrize(
    ("folds", "k", "corrected", "printed"), [(3, 3, True, 3.93), (3, 3, False, 2.48), (15, 3, True, 1.61)]
)
def test_the_published_factors(folds: int, k: int, corrected: bool, printed: float) -> None:
    assert round(detectable_in_sd(folds, 1 / (k - 1), corrected=corrected), 2) == printed


def test_a_difference_just_above_it_is_significant_and_one_just_below_is_not() -> None:
    spread = np.array([-1.0, 0.0, 1.0])  # standard deviation 1
    least = detectable_in_sd(3, 0.5)
    assert corrected_t(list(spread + least * 1.001), 0.5).p < 0.05 < corrected_t(list(spread + least * 0.999), 0.5).p


@pytest.mark.parametrize("discordant", [6, 7, 31, 42, 144])
def test_the_least_surplus_of_mcnemar_is_the_edge_of_significance(discordant: int) -> None:
    surplus = detectable_by_mcnemar(discordant)
    assert surplus is not None
    fewer = (discordant - surplus) // 2
    assert mcnemar(fewer, discordant - fewer) < 0.05 <= mcnemar(fewer + 1, discordant - fewer - 1)


def test_few_discordant_images_can_resolve_nothing() -> None:
    assert detectable_by_mcnemar(5) is None
