"""The random-effects mean against published numbers and another implementation."""

import warnings

import numpy as np
import pytest

from harness.stats.proportions import wilson
from harness.stats.random_effects import mean_rate, random_effects

# tuberculosis with and without the BCG vaccine: Colditz et al. 1994, as metafor's dat.bcg has it
VACCINATED = [(4, 119), (6, 300), (3, 228), (62, 13536), (33, 5036), (180, 1361), (8, 2537), (505, 87886), (29, 7470),
              (17, 1699), (186, 50448), (5, 2493), (27, 16886)]  # fmt: skip
OTHERS = [(11, 128), (29, 274), (11, 209), (248, 12619), (47, 5761), (372, 1079), (10, 619), (499, 87892), (45, 7232),
          (65, 1600), (141, 27197), (3, 2338), (29, 17825)]  # fmt: skip


def log_risk_ratios() -> tuple[np.ndarray, np.ndarray]:
    (ill, well), (ill_2, well_2) = (np.array(arm, dtype=float).T for arm in (VACCINATED, OTHERS))
    effects = np.log(ill / (ill + well)) - np.log(ill_2 / (ill_2 + well_2))
    return effects, 1 / ill - 1 / (ill + well) + 1 / ill_2 - 1 / (ill_2 + well_2)


def test_the_published_example_is_found() -> None:
    found = random_effects(*log_risk_ratios())
    assert found.mean == pytest.approx(-0.7141, abs=5e-5)
    assert found.tau2 == pytest.approx(0.3088, abs=5e-5)
    assert found.i2 == pytest.approx(0.9212, abs=5e-5)


def test_the_interval_is_that_of_statsmodels_by_hartung_and_knapp() -> None:
    from statsmodels.stats.meta_analysis import combine_effects

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = combine_effects(*log_risk_ratios(), method_re="dl", use_t=True)
    found = random_effects(*log_risk_ratios())
    assert (found.low, found.high) == pytest.approx(tuple(other.conf_int()[3]))
    # Higgins et al. 2009: the mean -+ t(k - 2) sqrt(tau2 + its variance)
    assert found.prediction_high - found.mean == pytest.approx(2.2010 * (0.30876 + 0.18070**2) ** 0.5, abs=1e-3)


def test_sites_that_agree_have_no_spread_and_an_interval_that_is_not_narrower_than_their_own_variances_give() -> None:
    found = random_effects(np.array([1.0, 1.0, 1.0001]), np.full(3, 0.03))
    assert (found.tau2, found.i2) == (0, 0)
    assert found.high - found.mean == pytest.approx(4.3027 * 0.1, abs=1e-4)
    with pytest.raises(ValueError, match="at least 3"):
        random_effects(np.ones(2), np.ones(2))


def test_perfect_rates_of_any_size_agree() -> None:
    counts = np.array([30.0, 60.0, 98.0])
    found = mean_rate(np.ones(3), np.array([wilson(int(n), int(n)) for n in counts]), counts)
    assert found.tau2 == 0
    assert 0.9 < found.mean < 1
    assert found.low < found.mean < found.high <= 1


def test_rates_are_pooled_as_logits_by_the_width_of_their_intervals() -> None:
    values, deviations = np.array([0.7, 0.8, 0.9]), np.array([0.2, 0.3, 0.4])
    logits = np.log(values / (1 - values))
    ends = 1 / (1 + np.exp(-(logits[:, None] + 1.959964 * deviations[:, None] * np.array([-1, 1]))))
    expected = random_effects(logits, deviations**2)
    found = mean_rate(values, ends, np.full(3, 100.0))
    assert found.mean == pytest.approx(1 / (1 + np.exp(-expected.mean)))
    assert found.prediction_low == pytest.approx(1 / (1 + np.exp(-expected.prediction_low)), abs=1e-5)
    assert found.tau2 == pytest.approx(expected.tau2, abs=1e-5)
    half = mean_rate(values, np.column_stack([ends[:, 0], [ends[0, 1], ends[1, 1], 1.0]]), np.full(3, 100.0))
    assert half.mean == pytest.approx(found.mean, abs=1e-6), "an end at 1 says nothing of the width"
