"""The interval for one more model against a prediction interval of statsmodels, and at its two ends."""

import numpy as np
import pytest

from harness.stats.one_more_model import one_more

VALUES = [0.756, 0.885, 0.81, 0.84]


def test_without_an_error_of_the_images_it_is_the_prediction_interval() -> None:
    from statsmodels.api import OLS

    centre = float(np.mean(VALUES))
    expected = OLS(VALUES, np.ones(len(VALUES))).fit().get_prediction([1.0]).conf_int(obs=True)[0]
    assert one_more((centre, centre), VALUES) == pytest.approx(expected)


def test_where_all_models_agree_or_there_is_one_it_is_the_interval_of_the_images() -> None:
    assert one_more((0.7, 0.85), [0.8] * 3) == pytest.approx((0.7, 0.85))
    assert one_more((0.7, 0.85), [0.8]) == (0.7, 0.85)


def test_both_errors_are_added_as_squares_at_each_end() -> None:
    centre = float(np.mean(VALUES))
    seeds = one_more((centre, centre), VALUES)
    low, high = one_more((centre - 0.1, centre + 0.02), VALUES)
    assert (centre - low) ** 2 == pytest.approx(0.1**2 + (centre - seeds[0]) ** 2)
    assert (high - centre) ** 2 == pytest.approx(0.02**2 + (seeds[1] - centre) ** 2)
