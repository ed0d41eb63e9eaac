import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, stdtrit

from harness.stats.bootstrap import cluster_bootstrap, ratio_of_sums
from harness.stats.calibration import INTERCEPT, RATIO, SLOPE, calibration_slope, recalibration


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


def test_the_numbers_and_their_errors_are_those_of_statsmodels() -> None:
    """Of its clustered errors, which have a factor more for few images, and of a regression with the slope fixed."""
    odds, positive = outcomes(3)
    odds = 1.4 * odds - 0.5
    clusters = np.arange(len(odds)) // 3
    found = recalibration(expit(odds)[None], positive, clusters)
    count = len(np.unique(clusters))
    for name, columns, offset in ((SLOPE, sm.add_constant(odds), None), (INTERCEPT, np.ones((len(odds), 1)), odds)):
        model = sm.GLM(positive.astype(float), columns, sm.families.Binomial(), offset=offset)
        theirs = model.fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
        half = stdtrit(count - 1, 0.975) * theirs.bse[-1] * np.sqrt(count / (count - 1))
        expected = theirs.params[-1] + half * np.array([0, -1, 1])
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(tuple(expected), abs=1e-4), name


def test_the_ratio_is_of_observed_to_expected_and_its_interval_near_that_of_resampled_patients() -> None:
    odds, positive = outcomes(4)
    scores, clusters = expit(odds + 0.4), np.arange(len(odds)) // 4
    found = recalibration(scores[None], positive, clusters)[RATIO]
    assert found.value == pytest.approx(positive.sum() / scores.sum())
    (resampled,) = cluster_bootstrap(clusters, [ratio_of_sums(positive.astype(float), scores)])
    assert (found.low, found.high) == pytest.approx(resampled, abs=0.01)


def test_the_interval_of_the_mean_over_repeats_is_that_of_one_where_all_agree_and_narrower_where_they_do_not() -> None:
    odds, positive = outcomes(5)
    rng, clusters = np.random.default_rng(5), np.arange(len(odds))
    noisy = expit(odds + rng.normal(0, 1.5, (4, len(odds))))
    one, same, mean = (recalibration(each, positive, clusters) for each in (noisy[:1], noisy[[0, 0]], noisy))
    for name, number in one.items():
        assert (same[name].low, same[name].high) == pytest.approx((number.low, number.high))
        assert mean[name].high - mean[name].low < number.high - number.low


def test_what_is_calibrated_is_held_to_be_so_19_times_in_20() -> None:
    """Over 150 data sets of 60 patients with three images each, which are of one class."""
    rng, held = np.random.default_rng(6), dict.fromkeys((INTERCEPT, SLOPE, RATIO), 0)
    for _ in range(150):
        odds = np.repeat(rng.normal(-0.5, 1, 60), 3)
        positive = np.repeat(rng.random(60) < expit(odds[::3]), 3)
        for name, found in recalibration(expit(odds)[None], positive, np.arange(180) // 3).items():
            held[name] += found.low <= (name != INTERCEPT) <= found.high
    assert all(0.9 < count / 150 < 0.99 for count in held.values()), held


def test_without_both_classes_there_is_no_number_and_where_they_are_separated_no_slope() -> None:
    probabilities = np.array([[0.1, 0.3, 0.6, 0.9]])
    assert recalibration(probabilities, np.ones(4, bool), np.arange(4)) == {}
    assert recalibration(probabilities, probabilities[0] > 0.5, np.zeros(4, np.int64)) == {}, "one patient"
    assert set(recalibration(probabilities, probabilities[0] > 0.5, np.arange(4))) == {INTERCEPT, RATIO}
    sure = recalibration(np.array([[0.0, 1.0, 1.0, 0.0]]), np.array([True, True, False, False]), np.arange(4))
    assert np.isfinite([sure[INTERCEPT].low, sure[SLOPE].high, sure[RATIO].high]).all()
