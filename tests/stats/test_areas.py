"""Areas under the ROC curve: published errors, definitions written out, and intervals near 1."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from harness.stats.areas import area_error, area_moves, mean_area, newcombe_area

# DeLong, DeLong & Clarke-Pearson 1988, as printed in SAS/STAT's example "Comparing Receiver Operating
# Characteristic Curves": albumin, total protein, 10 - K-G score, and whether surgery helped.
OVARIAN = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1
"""


def ovarian() -> tuple[np.ndarray, np.ndarray]:
    table = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4)
    scores = np.stack([table[:, 0], table[:, 1], 10 - table[:, 2]])
    return scores, table[:, 3] == 1


def single(positive: np.ndarray) -> np.ndarray:
    """A patient of its own for each image."""
    return np.arange(len(positive))


def test_delong_gives_the_areas_and_standard_errors_that_sas_prints_for_delongs_own_data() -> None:
    scores, positive = ovarian()
    areas, moves = area_moves(scores, positive)
    assert areas.round(4).tolist() == [0.7366, 0.6478, 0.7258]
    errors = [area_error(each, positive, single(positive)) for each in moves]
    assert np.round(errors, 4).tolist() == [0.0927, 0.1000, 0.1028]


def pairs(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Whether each positive image is above each negative one, [k, m, n]; ties count half."""
    cases, controls = scores[:, positive], scores[:, ~positive]
    wins: np.ndarray = (cases[:, :, None] > controls[:, None, :]) + 0.5 * (cases[:, :, None] == controls[:, None, :])
    return wins


def test_delong_equals_the_definition_by_pairs_also_with_ties() -> None:
    scores, positive = ovarian()
    wins = pairs(scores, positive)
    covariance = np.cov(wins.mean(axis=2)) / wins.shape[1] + np.cov(wins.mean(axis=1)) / wins.shape[2]
    areas, moves = area_moves(scores, positive)
    np.testing.assert_allclose(areas, [roc_auc_score(positive, row) for row in scores], rtol=1e-12)
    for weights in ([1, 0, 0], [1, -1, 0], [1 / 3, 1 / 3, 1 / 3]):
        error = area_error(np.array(weights) @ moves, positive, single(positive))
        assert error == pytest.approx(np.sqrt(weights @ covariance @ weights))


def test_the_interval_is_that_of_the_logit_with_the_freedom_that_the_kurtosis_leaves() -> None:
    scores, positive = ovarian()
    _, moves = area_moves(scores[:1], positive)
    n, kurtosis = len(positive), stats.kurtosis(moves[0], fisher=False)
    t = stats.t.ppf(0.975, 2 * n / (kurtosis - (n - 3) / (n - 1)))
    half = t * area_error(moves[0], positive, single(positive)) / (0.7366 * (1 - 0.7366))
    found = mean_area(scores[:1], positive, single(positive))
    ends = expit(logit(0.7366) - half), expit(logit(0.7366) + half)
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-4)
    assert found.method == "DeLong, of the logit"
    assert t > 1.96


def test_the_mean_of_equal_models_is_that_of_one_and_copies_of_images_add_no_patients() -> None:
    scores, positive = ovarian()
    one = mean_area(scores[:1], positive, single(positive))
    assert vars(mean_area(np.stack([scores[0]] * 5), positive, single(positive))) == pytest.approx(vars(one))
    copied = mean_area(np.repeat(scores[:1], 4, axis=1), np.repeat(positive, 4), np.repeat(single(positive), 4))
    assert vars(copied) == pytest.approx(vars(one))


@pytest.mark.parametrize(("score", "value"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)])
def test_an_area_without_any_spread_is_not_known_for_sure(score: float, value: float) -> None:
    """12 of the 43 women did not gain."""
    _, positive = ovarian()
    scores, clusters = np.repeat((score * positive)[None], 2, axis=1), np.repeat(np.arange(43), 2)
    found = mean_area(scores, np.repeat(positive, 2), clusters)
    assert found.method == "Newcombe"
    assert (found.value, found.low, found.high) == (value, *newcombe_area(value, (31, 12)))
    assert found.high - found.low > 0.1


def test_an_area_of_a_single_patient_of_a_class_is_hardly_known() -> None:
    scores, positive = ovarian()
    found = mean_area(scores[:1], positive, np.where(positive, 99, np.arange(43)))
    assert (found.low, found.high) == newcombe_area(found.value, (1, 12))


@pytest.mark.parametrize("value", [0.5, 0.8, 0.99])
def test_the_ends_of_newcombes_interval_are_as_many_errors_away_as_asked(value: float) -> None:
    """Of classes of equal size by the error of Hanley and McNeil 1982, Radiology 143:29, formula 1."""
    for end in newcombe_area(value, (30, 30)):
        first, second = end / (2 - end), 2 * end**2 / (1 + end)
        variance = (end * (1 - end) + 29 * (first - end**2) + 29 * (second - end**2)) / 30**2
        assert abs(value - end) == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)


def test_newcombes_interval_of_a_perfect_curve_ends_there_and_mirrors() -> None:
    low, high = newcombe_area(1.0, (20, 20))
    assert high == 1
    assert 0.88 < low < 0.91
    assert newcombe_area(0.0, (20, 20)) == pytest.approx((0, 1 - low))
