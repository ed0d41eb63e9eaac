import pytest
from statsmodels.stats.proportion import proportion_confint

from harness.stats.proportions import newcombe, two_proportions, wilson


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
