"""Areas under the ROC curve: published errors, definitions written out, and intervals near 1."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from harness.stats.areas import Area, area_error, area_moves, bounded_area, newcombe_area

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


def mean_area(scores: np.ndarray, positive: np.ndarray, clusters: np.ndarray) -> Area:
    """The mean of the areas of models on the same images. scores: [models, n]."""
    areas, moves = area_moves(scores, positive)
    return bounded_area(float(areas.mean()), moves.mean(axis=0), positive, clusters)


def single(positive: np.ndarray) -> np.ndarray:
    """A patient of its own for each image."""
    return np.arange(len(positive))


def test_delong_gives_the_areas_and_standard_errors_that_sas_prints_for_delongs_own_data() -> None:
    scores, positive = ovarian()
    areas, moves = area_moves(scores, positive)
    assert areas.round(4).tolist() == [0.7366, 0.6478, 0.7258]
    errors = [area_error(each, positive, single(positive)) for each in moves]
    assert np.round(errors, 4).tolist() == [0.0927, 0.1000, 0.1028]


# Obuchowski 1997, Biometrics 53:567: two readers' scores of one or two arteries of each of 36 patients; her example as
# the tests of a public program have it (craignied/neuron, tests/clustered): patient, diseased or not, readers 1 and 2.
ARTERIES = """
1 1 87 87 1 1 79 83 2 1 88 94 2 1 95 93 3 1 100 100 3 1 68 79 4 1 65 61 4 1 89 91 5 1 97 97 5 1 100 100 6 1 100 99
6 1 89 88 7 1 77 77 8 1 94 89 8 0 45 44 9 1 89 92 9 0 -11 -17 10 1 95 91 10 0 30 14 11 1 95 95 11 0 10 -122
12 1 100 100 12 0 19 -3 13 1 75 75 14 0 70 73 14 1 70 81 15 0 26 27 15 1 86 93 16 0 0 8 16 1 65 70 17 0 6 23
17 1 100 100 18 0 76 79 18 1 96 95 19 0 44 55 19 1 100 100 20 0 73 67 20 1 97 94 21 1 85 86 22 0 58 60 22 1 100 99
23 0 -2 -2 23 1 100 100 24 0 -3 -14 24 0 0 -11 25 0 47 -3 25 0 -94 -90 26 0 -16 17 26 0 75 85 27 0 5 -22
27 0 -1 -14 28 0 -6 -52 29 0 37 38 29 0 47 35 30 0 42 40 30 0 4 6 31 0 55 23 31 0 55 45 32 0 4 -87 32 0 -13 -65
33 0 49 24 33 0 35 9 34 0 53 66 35 0 2 -15 36 0 -48 -78
"""
# S10, S01 and S11, printed beneath it, of each reader and of both. The covariance of the areas r and s of 29 diseased
# and 36 healthy arteries is S10 / 29 + S01 / 36 + (S11 of r and s + S11 of s and r) / (29 x 36).
ONE = (0.0013151307, 0.0022375873, 2 * 0.0051785478)
TWO = (0.0009284122, 0.0022598583, 2 * -0.0005015760)
BOTH = (0.0008484357, 0.0019241250, 0.0028648340 - 0.0015136931)


def arteries() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scores of two readers [2, 65], which arteries are diseased, and whose each is."""
    table = np.array(ARTERIES.split(), dtype=np.int64).reshape(-1, 4)
    return table[:, 2:].T.astype(float), table[:, 1] == 1, table[:, 0]


def covariance_of(components: tuple[float, float, float]) -> float:
    return float(np.dot(components, [1 / 29, 1 / 36, 1 / (29 * 36)]))


def test_areas_of_arteries_of_one_patient_have_the_errors_that_obuchowski_prints() -> None:
    scores, diseased, patients = arteries()
    areas, moves = area_moves(scores, diseased)
    errors = [area_error(each, diseased, patients) for each in moves]
    assert areas.round(4).tolist() == [0.9837, 0.9852]
    assert np.round(errors, 4).tolist() == [0.0108, 0.0097]
    assert np.square(errors) == pytest.approx([covariance_of(ONE), covariance_of(TWO)], abs=1e-11)
    of_the_sum = covariance_of(ONE) + covariance_of(TWO) + 2 * covariance_of(BOTH)
    assert area_error(moves.sum(axis=0), diseased, patients) ** 2 == pytest.approx(of_the_sum, abs=1e-11)
    assert round(area_error(moves[0], diseased, single(diseased)), 4) != 0.0108, "as if each were of another patient"


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
