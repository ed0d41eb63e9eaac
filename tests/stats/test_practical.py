import numpy as np
import pytest
from scipy import stats

from harness.stats import paired
from harness.stats.paired import corrected_t
from harness.stats.practical import Chances, chances
from tests.stats.test_paired import differences_of_scikit_learn


def test_the_chances_are_those_that_scikit_learn_prints_for_its_own_example() -> None:
    """Printed there, for a region of equivalence of 0.01: rbf against linear worse 0.068, better 0.500, rope 0.432."""
    found = chances(corrected_t(differences_of_scikit_learn(), val_to_train=10 / 90), 0.01)
    assert found is not None
    assert [round(p, 3) for p in (found.worse, found.better, found.equivalent)] == [0.068, 0.5, 0.432]


def test_the_posterior_is_benavolis() -> None:
    """Benavoli et al. 2017, equation 11: Student's t around the mean, scale (1 / n + rho / (1 - rho)) s^2."""
    differences, rho = [0.01, 0.03, -0.01, 0.02, 0.0], 1 / 5
    found = chances(corrected_t(differences, val_to_train=1 / 4), 0.02)
    scale = np.sqrt((1 / 5 + rho / (1 - rho)) * np.var(differences, ddof=1))
    posterior = stats.t(4, loc=np.mean(differences), scale=scale)
    assert found is not None
    assert vars(found) == pytest.approx(
        {
            "better": posterior.sf(0.02),
            "equivalent": posterior.cdf(0.02) - posterior.cdf(-0.02),
            "worse": posterior.cdf(-0.02),
        }
    )


def test_folds_that_do_not_show_their_spread_give_no_chances() -> None:
    assert chances(corrected_t([0.02, 0.02, 0.02], 0.5), 0.01) is None
    assert chances(paired.Test(0.1, 0.05, 0.15, 0.01), 0.01) is None, "no test over folds"


@pytest.mark.parametrize(
    ("better", "equivalent", "worse", "resolved", "verdict"),
    [
        (0.96, 0.03, 0.01, True, "better"),
        (0.96, 0.03, 0.01, False, "not known"),  # the posterior counts no comparisons
        (0.01, 0.03, 0.96, True, "worse"),
        (0.02, 0.96, 0.02, True, "equivalent"),  # a difference that does not matter
        (0.02, 0.96, 0.02, False, "equivalent"),
        (0.5, 0.49, 0.01, True, "not known"),
    ],
)
def test_a_practical_verdict_needs_a_high_probability_and_a_resolved_difference(
    better: float, equivalent: float, worse: float, resolved: bool, verdict: str
) -> None:
    assert Chances(better, equivalent, worse).verdict(resolved) == verdict
    assert Chances(worse, equivalent, better).reversed == Chances(better, equivalent, worse)
