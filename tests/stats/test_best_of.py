import numpy as np
import pytest

from harness.stats.best_of import best_of
from harness.stats.bootstrap import Statistic, average, known_mean_of, ratio, within
from harness.stats.metrics import classification_metrics
from harness.stats.weighted_metrics import weighted_metric

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet([1, 1, 1], 60)
LABELS = RNG.integers(0, 3, 60)


@pytest.mark.parametrize("positive", [None, 1])
@pytest.mark.parametrize(
    "metric",
    [
        "accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc", "roc_auc", "pr_auc", "loss",
        "brier", "ece",
    ],
)  # fmt: skip
def test_a_metric_of_a_resample_is_that_of_the_images_as_often_as_they_were_drawn(
    metric: str, positive: int | None
) -> None:
    weights = np.random.default_rng(1).integers(0, 4, (3, 60))
    statistic = weighted_metric(metric, PROBABILITIES, LABELS, positive)
    assert statistic is not None
    drawn = [np.repeat(np.arange(60), times) for times in weights]
    expected = [classification_metrics(PROBABILITIES[rows], LABELS[rows], positive)[metric] for rows in drawn]
    np.testing.assert_allclose(statistic(weights.astype(float)), expected)


def test_a_metric_that_is_none_of_a_resample_has_no_statistic() -> None:
    assert weighted_metric("Kappa", PROBABILITIES, LABELS, None) is None


def test_folds_without_a_value_are_left_out_of_the_mean() -> None:
    right = np.array([True, False, True])
    rates = [within(np.array([row]), ratio(right[[row]], np.ones(1, bool))) for row in range(3)]
    weights = np.array([[1.0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(known_mean_of(rates)(weights), [0.5, np.nan])


def scores(rates: list[float], patients: int, seed: int) -> tuple[np.ndarray, list[Statistic]]:
    """Clusters, and the accuracies of scenarios with these true rates; two images of a patient are right or wrong."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(patients), 2)
    right = [np.repeat(rng.random(patients) < rate, 2).astype(float) for rate in rates]
    return clusters, [average(each) for each in right]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_of_many_equal_scenarios_is_corrected_to_what_they_are(sign: int) -> None:
    found = []
    for seed in range(20):
        clusters, statistics = scores([0.7] * 20, 100, seed)
        whole = sign * max(sign * statistic(np.ones((1, len(clusters))))[0] for statistic in statistics)
        found.append((whole, best_of(clusters, statistics, maximize=sign > 0).value))
    own, corrected = np.mean(found, axis=0)
    assert sign * (own - 0.7) > 0.06
    assert corrected == pytest.approx(0.7, abs=0.02)


def test_one_that_is_best_by_far_keeps_its_mean() -> None:
    clusters, statistics = scores([0.5, 0.95, 0.5], 200, 1)
    own = statistics[1](np.ones((1, len(clusters))))[0]
    found = best_of(clusters, statistics, maximize=True)
    assert found.value == pytest.approx(own, abs=0.005)
    assert found.low < own < found.high
    assert found.first == [0, 1, 0]


@pytest.mark.parametrize("maximize", [True, False])
def test_equal_ones_are_the_first_about_equally_often_and_the_share_is_of_the_resamples(maximize: bool) -> None:
    shares = np.mean([best_of(*scores([0.7] * 4, 100, seed), maximize).first for seed in range(40)], axis=0)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, 0.25, atol=0.12)


@pytest.mark.parametrize(
    ("images", "scenarios", "studies", "own", "true", "corrected"),
    [(20, 50, 40, 0.909, 0.764, 0.7410), (20, 200, 40, 0.965, 0.797, 0.7862), (40, 50, 40, 0.878, 0.797, 0.7735)],
)
def test_it_is_what_the_authors_own_code_gives_on_the_studies_that_they_simulate(
    images: int, scenarios: int, studies: int, own: float, true: float, corrected: float
) -> None:
    """Tsamardinos et al. 2018, section 5.1: the true accuracies of scenarios are Beta(9, 6), each image right or not.

    corrected: the mean over the studies by the function `BBC_CV` of the authors' published code (mensxmachina/BBC-CV,
    2,000 resamples, GNU Octave 7.3) on these very predictions; by chance in the resamples it is known to about 0.001.
    """
    found = []
    for study in range(studies):
        rng = np.random.default_rng(study)
        rates = rng.beta(9, 6, scenarios)
        right = (rng.random((images, scenarios)) < rates).astype(float)
        best = right.mean(axis=0).argmax()
        value = best_of(np.arange(images), [average(each) for each in right.T], maximize=True, seed=study).value
        found.append((right[:, best].mean(), rates[best], value))
    assert np.mean(found, axis=0) == pytest.approx([own, true, corrected], abs=0.004)
