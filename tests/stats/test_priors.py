"""Probabilities for other class shares, against Bayes' rule and densities that are known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import norm

from harness.stats.priors import BETA, learnt_shares, log_odds_shift, shifted

COUNTS = np.array([30, 10, 60])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("cross-entropy", [0.3, 0.1, 0.6]),
        ("focal", [0.3, 0.1, 0.6]),
        ("class-weighted", [1 / 3] * 3),
        ("logit-adjusted", [1 / 3] * 3),
    ],
)
def test_weights_of_classes_count_as_images(loss: str, expected: list[float]) -> None:
    np.testing.assert_allclose(learnt_shares(loss, COUNTS), expected)


def test_effective_numbers_lie_between_the_counts_and_one_size() -> None:
    sizes = COUNTS * (1 - BETA) / (1 - BETA**COUNTS)
    np.testing.assert_allclose(learnt_shares("effective-number", COUNTS), sizes / sizes.sum())
    np.testing.assert_allclose(learnt_shares("effective-number", np.array([5, 0])), [1, 0])


def test_the_shifted_probabilities_are_those_of_the_true_shares() -> None:
    true, learnt = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    values = np.linspace(-3, 4, 30)
    densities = np.stack([norm.pdf(values, 0), norm.pdf(values, 1)], axis=1)

    def posterior(shares: NDArray[np.float64]) -> NDArray[np.float64]:
        joint = densities * shares
        found: NDArray[np.float64] = joint / joint.sum(axis=1, keepdims=True)
        return found

    shift = log_odds_shift(true, learnt)
    np.testing.assert_allclose(shifted(posterior(learnt), shift), posterior(true))
    np.testing.assert_allclose(shifted(posterior(true), -shift), posterior(learnt))


def test_it_is_the_same_as_a_shift_of_the_logits_and_equal_shares_change_nothing() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 3))
    shift = log_odds_shift(learnt_shares("cross-entropy", COUNTS), np.full(3, 1 / 3))
    np.testing.assert_allclose(shifted(softmax(logits, axis=1), shift), softmax(logits + shift, axis=1))
    assert not log_odds_shift(COUNTS / 100, COUNTS / 100).any()
    assert np.isfinite(log_odds_shift(np.array([1.0, 0.0]), np.array([1.0, 0.0]))).all()
