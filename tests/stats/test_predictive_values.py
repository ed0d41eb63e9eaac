"""Predictive values at a declared prevalence: by hand, and how often their intervals hold what is true."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binom

from harness.stats.predictive_values import predictive_value
from harness.stats.proportions import Bounded, wilson


def counted(hits: int, n: int) -> Bounded:
    return Bounded(hits / n, *wilson(hits, n))


def test_the_values_are_bayes_and_the_intervals_those_of_mercaldo_on_many_images() -> None:
    """Mercaldo, Lau & Zhou 2007, Stat Med 26:2170: the allele e4 in 240 of 418 cases and 87 of 375 controls."""
    ill, well, prevalence = (240, 418), (288, 375), 0.03
    for own, other, share in ((ill, well, prevalence), (well, ill, 1 - prevalence)):
        found = predictive_value(counted(*own), counted(*other), share)
        assert found is not None
        right, wrong = own[0] / own[1], 1 - other[0] / other[1]
        assert found.value == pytest.approx(right * share / (right * share + wrong * (1 - share)))
        error = math.sqrt((1 - right) / (right * own[1]) + (1 - wrong) / (wrong * other[1]))  # of the logit, their (8)
        expected = expit(logit(found.value) + np.array([-1.96, 1.96]) * error)
        assert (found.low, found.high) == pytest.approx(tuple(expected), rel=0.01)


@pytest.mark.parametrize("prevalence", [0.05, 0.4])
def test_the_intervals_hold_what_is_true_19_times_in_20(prevalence: float) -> None:
    """Over all outcomes of 25 ill and 40 well images, each as often as it is."""
    n, recall, m, other = 25, 0.9, 40, 0.95
    true = recall * prevalence / (recall * prevalence + (1 - other) * (1 - prevalence))
    held = 0.0
    for hits, rejected in product(range(n + 1), range(m + 1)):
        found = predictive_value(counted(hits, n), counted(rejected, m), prevalence)
        if found is None or found.low <= true <= found.high:
            held += binom.pmf(hits, n, recall) * binom.pmf(rejected, m, other)
    assert 0.94 < held < 0.975


def test_rates_of_0_and_1_have_an_interval_too() -> None:
    perfect = predictive_value(counted(20, 20), counted(30, 30), 0.1)
    assert perfect is not None and (perfect.value, perfect.high) == (1, 1) and 0.3 < perfect.low < 0.8
    useless = predictive_value(counted(0, 20), counted(20, 30), 0.1)
    assert useless is not None and (useless.value, useless.low) == (0, 0) and 0 < useless.high < 0.1
    assert predictive_value(counted(0, 20), counted(30, 30), 0.1) is None, "no image is called positive"


def test_at_a_higher_prevalence_the_positive_predictive_value_is_higher() -> None:
    values = [predictive_value(counted(18, 20), counted(25, 30), at) for at in (0.05, 0.2, 0.5)]
    assert [v.value for v in values if v] == pytest.approx([0.221, 0.574, 0.844], abs=1e-3)
