import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from harness.stats.metrics import log_loss
from harness.stats.temperature import SHARPEST, Scaling, fitted_scaling

RNG = np.random.default_rng(5)
LOGITS = RNG.normal(size=(4000, 3)) * 1.5
LABELS = np.array([RNG.choice(3, p=row) for row in softmax(LOGITS, axis=1)])


def test_the_temperature_that_logits_were_multiplied_by_is_found_and_undone() -> None:
    too_sure = softmax(2.5 * LOGITS, axis=1)
    found = fitted_scaling(too_sure, LABELS)
    assert found.temperature == pytest.approx(2.5, rel=0.06)
    assert not found.shift.any()
    other = [log_loss(Scaling(t, found.shift).of(too_sure), LABELS) for t in (0.98, 1.02) * np.array(found.temperature)]
    assert log_loss(found.of(too_sure), LABELS) < min(other) < log_loss(too_sure, LABELS)


def test_a_shift_of_the_classes_is_found_too() -> None:
    moved = softmax(LOGITS / 0.5 + [1.0, 0.0, -1.0], axis=1)
    found = fitted_scaling(moved, LABELS, shifted=True)
    assert found.temperature == pytest.approx(2, rel=0.06)
    np.testing.assert_allclose(found.shift, [-0.5, 0, 0.5], atol=0.1)


def test_of_two_classes_it_is_a_logistic_regression_on_the_log_odds() -> None:
    odds = RNG.normal(size=2000)
    labels = (RNG.random(2000) < 1 / (1 + np.exp(-(0.4 + 0.6 * odds)))).astype(np.int64)
    positive = 1 / (1 + np.exp(-odds))
    found = fitted_scaling(np.column_stack([1 - positive, positive]), labels, shifted=True)
    line = LogisticRegression(C=np.inf, tol=1e-8).fit(odds[:, None], labels)
    assert 1 / found.temperature == pytest.approx(line.coef_[0, 0], abs=1e-3)
    assert found.shift[1] - found.shift[0] == pytest.approx(line.intercept_[0], abs=1e-3)


def test_classes_that_are_told_apart_perfectly_have_the_least_temperature() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    found = fitted_scaling(probabilities, np.array([0, 0, 1]))
    assert found.temperature == pytest.approx(SHARPEST)
    assert np.isfinite(found.of(np.array([[1.0, 0.0]]))).all()
