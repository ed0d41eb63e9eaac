import numpy as np
import pytest

from harness.stats.calibration import calibration_slope


def outcomes(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and classes that follow them."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0.3, 1.5, n)
    return odds, rng.random(n) < 1 / (1 + np.exp(-odds))


def test_the_slope_is_where_the_likelihood_is_greatest() -> None:
    odds, positive = outcomes(0)
    slope = calibration_slope(1 / (1 + np.exp(-odds)), positive)
    assert slope is not None
    intercept = 0.0
    for _ in range(50):  # Newton's steps: the sum of the residuals is 0
        fitted = 1 / (1 + np.exp(-(intercept + slope * odds)))
        intercept += (positive - fitted).sum() / (fitted * (1 - fitted)).sum()
    assert ((positive - fitted) * odds).sum() == pytest.approx(0, abs=1e-3)  # and that of their products with the odds
    assert slope == pytest.approx(1, abs=0.3)


def test_probabilities_twice_too_extreme_have_half_the_slope() -> None:
    odds, positive = outcomes(1)
    right, extreme = (calibration_slope(1 / (1 + np.exp(-factor * odds)), positive) for factor in (1, 2))
    assert right is not None
    assert extreme == pytest.approx(right / 2, rel=1e-4)


def test_a_shift_of_all_log_odds_leaves_the_slope() -> None:
    odds, positive = outcomes(2)
    right, shifted = (calibration_slope(1 / (1 + np.exp(-odds - by)), positive) for by in (0, 1.5))
    assert shifted == pytest.approx(right, rel=1e-4)


def test_without_a_finite_slope_there_is_none() -> None:
    probabilities = np.array([0.1, 0.3, 0.6, 0.9])
    assert calibration_slope(probabilities, np.ones(4, bool)) is None
    assert calibration_slope(probabilities, probabilities > 0.5) is None
    assert calibration_slope(probabilities, probabilities < 0.5) is None
    assert calibration_slope(probabilities, np.array([False, True, False, True])) is not None
