import numpy as np
import pytest

from harness.stats.paired import corrected_t
from harness.stats.power import detectable_in_sd, power_of_folds, resolved_in_sd


@pytest.mark.parametrize(
    ("folds", "k", "corrected", "printed"), [(3, 3, True, 3.93), (3, 3, False, 2.48), (15, 3, True, 1.61)]
)
def test_the_published_factors(folds: int, k: int, corrected: bool, printed: float) -> None:
    assert round(detectable_in_sd(folds, 1 / (k - 1), corrected=corrected), 2) == printed


def test_a_difference_just_above_it_is_significant_and_one_just_below_is_not() -> None:
    spread = np.array([-1.0, 0.0, 1.0])  # standard deviation 1
    least = detectable_in_sd(3, 0.5)
    assert corrected_t(list(spread + least * 1.001), 0.5).p < 0.05 < corrected_t(list(spread + least * 0.999), 0.5).p


def test_the_least_significant_difference_is_found_about_every_second_time() -> None:
    """With three folds a little more often, as their SD is mostly too small."""
    assert power_of_folds(detectable_in_sd(3, 0.5), 3, 0.5) == pytest.approx(0.62, abs=0.01)
    assert power_of_folds(detectable_in_sd(25, 0.25), 25, 0.25) == pytest.approx(0.51, abs=0.01)
    assert power_of_folds(0, 15, 0.5) == pytest.approx(0.025), "one side of alpha"


@pytest.mark.parametrize(("k", "repeats"), [(3, 1), (5, 1), (3, 5)])
def test_the_difference_that_is_resolved_is_found_in_four_of_five_simulations(k: int, repeats: int) -> None:
    """Folds' differences with the correlation that the test assumes, rho = 1 / k (Nadeau & Bengio 2003)."""
    folds, rho = k * repeats, 1 / k
    rng, size = np.random.default_rng(k), 1000
    shared, own = rng.normal(size=(size, 1)), rng.normal(size=(size, folds))
    sds = resolved_in_sd(folds, 1 / (k - 1))
    differences = sds + np.sqrt(rho / (1 - rho)) * shared + own  # the SD within a stage's folds is 1
    found = [corrected_t(list(row), 1 / (k - 1)).p < 0.05 for row in differences]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_one_fold_resolves_nothing() -> None:
    assert resolved_in_sd(1, 0.5) == np.inf
    assert power_of_folds(5.0, 1, 0.5) == 0.0
