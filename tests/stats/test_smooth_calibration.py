import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from harness.stats.smooth_calibration import KNOTS, smooth_curve

RNG = np.random.default_rng(2)
TRUE = RNG.beta(0.8, 0.8, 3000)
POSITIVE = RNG.random(3000) < TRUE
EACH = np.arange(3000)


def test_right_probabilities_lie_on_the_diagonal_within_the_band() -> None:
    curve = smooth_curve(TRUE, POSITIVE, EACH)
    assert curve is not None
    np.testing.assert_allclose(curve.value, curve.at, atol=0.05)
    assert ((curve.low <= curve.at) & (curve.at <= curve.high)).mean() > 0.8
    assert (curve.high - curve.low).max() < 0.15


def test_probabilities_that_are_too_extreme_are_shown_as_such() -> None:
    extreme = TRUE**3 / (TRUE**3 + (1 - TRUE) ** 3)
    curve = smooth_curve(extreme, POSITIVE, EACH)
    assert curve is not None
    at = curve.at ** (1 / 3) / (curve.at ** (1 / 3) + (1 - curve.at) ** (1 / 3))
    inside = (curve.at > 0.02) & (curve.at < 0.98)
    np.testing.assert_allclose(curve.value[inside], at[inside], atol=0.06)


def test_it_is_a_logistic_regression_on_the_restricted_cubic_spline() -> None:
    """The spline by its definition: Harrell 2015, Regression Modeling Strategies, equations 2.25 to 2.28."""
    odds = np.log(TRUE / (1 - TRUE)).clip(-13.8, 13.8)
    a, b, c, d = np.quantile(odds, KNOTS)

    def columns(x: np.ndarray) -> np.ndarray:
        def cube(knot: float) -> np.ndarray:
            found: np.ndarray = np.maximum(x - knot, 0) ** 3
            return found

        rows = [cube(t) - cube(c) * (d - t) / (d - c) + cube(d) * (c - t) / (d - c) for t in (a, b)]
        scaled: np.ndarray = np.column_stack([x, *rows]) / [1, (d - a) ** 2, (d - a) ** 2]
        return scaled

    curve = smooth_curve(TRUE, POSITIVE, EACH)
    assert curve is not None
    line = LogisticRegression(C=np.inf, tol=1e-9, max_iter=5000).fit(columns(odds), POSITIVE)
    expected = line.predict_proba(columns(np.log(curve.at / (1 - curve.at))))[:, 1]
    np.testing.assert_allclose(curve.value, expected, atol=2e-3)


def test_the_band_is_wider_where_images_are_of_few_patients() -> None:
    patients = np.repeat(np.arange(100), 30)
    effect = RNG.normal(size=100)[patients]
    positive = RNG.random(3000) < 1 / (1 + np.exp(-(np.log(TRUE / (1 - TRUE)) + 2 * effect)))
    few, many = (smooth_curve(TRUE, positive, clusters) for clusters in (patients, EACH))
    assert few is not None
    assert many is not None
    assert np.mean(few.high - few.low) > 1.5 * np.mean(many.high - many.low)


@pytest.mark.parametrize("positive", [np.zeros(9, bool), np.ones(9, bool)])
def test_one_class_has_no_curve(positive: np.ndarray) -> None:
    assert smooth_curve(np.linspace(0.1, 0.9, 9), positive, np.arange(9)) is None


def test_probabilities_that_separate_the_classes_or_have_few_values_have_a_finite_curve() -> None:
    for probabilities in (np.repeat([0.0, 1.0], 20), np.linspace(0, 1, 40), np.repeat([0.2, 0.2, 0.2, 0.9], 10)):
        curve = smooth_curve(probabilities, np.arange(40) >= 20, np.arange(40))
        assert curve is not None
        assert np.isfinite(curve.value).all()
