import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from harness.stats.proportions import Bounded, clustered_wilson, difference_of, newcombe, two_proportions, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (1, 29), (81, 263), (372, 390)])
def test_wilson_is_the_interval_of_statsmodels(hits: int, n: int) -> None:
    assert wilson(hits, n) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-9)


@pytest.mark.parametrize(
    ("hits", "n", "printed"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_gives_the_printed_intervals_of_newcombe(hits: int, n: int, printed: tuple[float, float]) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857, Table I, method 3."""
    assert wilson(hits, n) == pytest.approx(printed, abs=0.00005)


def test_wilson_of_a_mean_of_counts_lies_between_those_of_the_counts() -> None:
    low, mean, high = (wilson(hits, 40) for hits in (31, 31.5, 32))
    assert low[0] < mean[0] < high[0]
    assert low[1] < mean[1] < high[1]
    assert wilson(31.5, 40) == pytest.approx(proportion_confint(31.5, 40, method="wilson"), abs=1e-9)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0, 1)


def over_patients(hits: list[list[int]], clusters: object) -> tuple[float, float]:
    """The interval of the share of hits among all images, in one repeat or several."""
    flags = np.array(hits, dtype=bool)
    return clustered_wilson(flags, np.ones_like(flags), np.asarray(clusters))


def test_wilson_over_patients_stands_on_n_over_the_design_effect() -> None:
    """Of four patients with two images each one has two misses: by hand.

    They move the rate of 0.75 by 0.5 / 8 three times and by -1.5 / 8, against the others (1 - 1/4) of it: the variance
    is 3 / 64 / 0.75^2 = 0.08333. That of 8 images is 0.75 * 0.25 * 8 / 7^2 = 0.03061, so the design effect is 2.7222.
    t of 7 and of 3 degrees of freedom: 2.36462 and 3.18245.
    """
    effective = 8 / 2.72222 * (2.36462 / 3.18245) ** 2
    found = over_patients([[1, 1, 1, 1, 1, 1, 0, 0]], [0, 0, 1, 1, 2, 2, 3, 3])
    assert found == pytest.approx(proportion_confint(0.75 * effective, effective, method="wilson"), abs=1e-5)
    within = over_patients([[1, 1, 1, 1, 1, 0, 1, 0]], [0, 0, 1, 1, 2, 2, 3, 3])
    assert within[0] > found[0], "a miss in each of two patients: a design effect below 1 counts as 1"


def test_wilson_over_patients_of_one_image_each_is_wilson() -> None:
    hits = [[1, 1, 0, 1, 1, 1, 1, 1, 1, 1]]
    assert over_patients(hits, np.arange(10)) == pytest.approx(wilson(9, 10))
    assert over_patients([*hits, [1] * 10], np.arange(10)) == pytest.approx(wilson(9.5, 10))


def test_where_all_images_are_hits_each_patient_counts_once() -> None:
    assert over_patients([[1] * 12], np.repeat(np.arange(4), 3)) == wilson(4, 4)
    assert over_patients([[0] * 12], np.repeat(np.arange(4), 3)) == wilson(0, 4)
    assert over_patients([[1, 1, 1, 0]], [0] * 4) == wilson(0.75, 1)


def test_only_the_images_that_are_counted_and_their_patients_matter() -> None:
    hits, among = np.array([[1, 0, 1, 1, 1, 1]], bool), np.array([[1, 1, 0, 0, 1, 1]], bool)
    found = clustered_wilson(hits, among, np.array([0, 0, 1, 1, 2, 2]))
    assert found == over_patients([[1, 0, 1, 1]], [0, 0, 1, 1])
    assert clustered_wilson(hits, np.zeros_like(among), np.arange(6)) == (0, 1)


def test_identical_repeats_add_nothing() -> None:
    hits, clusters = [1, 1, 1, 1, 0, 0, 1, 0], np.repeat(np.arange(4), 2)
    assert over_patients([hits] * 3, clusters) == pytest.approx(over_patients([hits], clusters))


@pytest.mark.parametrize(
    ("hits", "n", "printed"),
    [((56, 48), (70, 80), (0.0524, 0.3339)), ((9, 3), (10, 10), (0.1705, 0.8090)), ((10, 0), (10, 20), (0.6791, 1.0))],
)
def test_newcombe_gives_his_printed_intervals(
    hits: tuple[int, int], n: tuple[int, int], printed: tuple[float, float]
) -> None:
    """Newcombe 1998, Statistics in Medicine 17:873, Table II, method 10."""
    assert newcombe(hits, n) == pytest.approx(printed, abs=0.00006)


def test_two_proportions_by_hand() -> None:
    """30/100 against 20/100, pooled 0.25: z = 0.1 / sqrt(0.25 * 0.75 * 0.02) = 1.633."""
    z, p = two_proportions((30, 20), (100, 100))
    assert z == pytest.approx(1.63299, abs=1e-5)
    assert p == pytest.approx(0.10247, abs=1e-5)
    assert two_proportions((10, 10), (10, 10)) == (0, 1)


def test_the_interval_of_a_difference_from_both_is_newcombes_of_two_proportions() -> None:
    """And Newcombe's own example (1998, table II): 56 of 70 against 48 of 80 has 0.0524 to 0.3339 by method 10."""
    first, second = (Bounded(hits / n, *wilson(hits, n)) for hits, n in ((56, 70), (48, 80)))
    found = difference_of(first, second)
    assert found == pytest.approx(newcombe((56, 48), (70, 80)))
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)
