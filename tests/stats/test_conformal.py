"""Least probabilities of conformal sets: their rank, and the coverage that follows."""

import numpy as np
import pytest

from harness.stats.conformal import least_probabilities


def test_of_nine_images_the_least_probability_of_the_surest_nine_tenths_is_that_of_the_ninth() -> None:
    scores = np.arange(1, 10) / 10
    probabilities = np.stack([1 - scores, scores], axis=1)
    assert least_probabilities(probabilities, np.ones(9, np.int64), 0.9).tolist() == [0.0, 0.1], "ceil(10 * 0.9) = 9"
    assert least_probabilities(probabilities, np.ones(9, np.int64), 0.8)[1] == 0.2
    assert least_probabilities(probabilities, np.ones(9, np.int64), 0.95)[1] == 0.0, "ten of nine: each image has it"


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_each_class_is_in_the_sets_of_its_images_as_often_as_is_wanted(coverage: float) -> None:
    """The mean over 300 draws of 19 and 49 images, which is between the coverage and 1 / (n + 1) above it."""
    rng, held = np.random.default_rng(0), np.zeros(2)
    for _ in range(300):
        labels = np.repeat([0, 1], [19, 49])
        every = [rng.normal(2 * of - 1, 1.5) for of in (labels, np.repeat([0, 1], 200))]
        fitted, new = (np.stack([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], axis=1) for z in every)
        sets = new >= least_probabilities(fitted, labels, coverage)
        held += [sets[:200, 0].mean(), sets[200:, 1].mean()]
    for of_class, n in zip(held / 300, (19, 49), strict=True):
        assert coverage - 0.012 < of_class < coverage + 1 / (n + 1) + 0.012
