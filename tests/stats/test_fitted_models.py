"""Two fitted models on the same images: definitions written out, what is known of single images, and error rates."""

import numpy as np
import pytest
from scipy import stats

from harness.stats.fitted_models import accuracy_difference, area_difference
from tests.stats.test_areas import arteries, ovarian, pairs

NOTHING = (1.0, -np.inf, np.inf)


def scored(seed: int, patients: int = 30, images: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores [2, n] of equally good models, classes and patients; the images of a patient have much in common."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(patients), images)
    positive = rng.random(patients * images) < np.repeat(rng.choice([0.1, 0.9], patients), images)
    shared = 1.5 * rng.normal(size=(2, patients))[:, clusters]
    return positive + shared + rng.normal(size=(2, len(clusters))), positive, clusters


def test_the_error_of_two_areas_is_that_of_obuchowskis_definition() -> None:
    """Obuchowski 1997, section 2, for each pair of areas, written out patient by patient."""
    scores, positive, clusters = scored(0)
    wins = pairs(scores, positive)
    areas, above, below = wins.mean(axis=(1, 2)), wins.mean(axis=2), wins.mean(axis=1)
    of_cases, of_controls, each = clusters[positive], clusters[~positive], np.unique(clusters)

    def deviations(placed: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.array([[(placed[k, of == i] - areas[k]).sum() for i in each] for k in (0, 1)])

    ten, one = deviations(above, of_cases), deviations(below, of_controls)
    m, n, both, with_case, with_control = (
        len(of_cases), len(of_controls), len(each), len(np.unique(of_cases)), len(np.unique(of_controls))
    )  # fmt: skip
    covariance = (
        with_case / (with_case - 1) * ten @ ten.T / m**2
        + with_control / (with_control - 1) * one @ one.T / n**2
        + both / (both - 1) * (ten @ one.T + one @ ten.T) / (m * n)
    )
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = area_difference(scores[0], scores[1], positive, clusters)
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference) / error), rel=1e-9)


def test_two_readers_of_the_same_arteries_differ_as_obuchowski_prints() -> None:
    """Obuchowski 1997, her example: a difference of 0.0014, its interval -0.0115 to 0.0143, p = 0.8271."""
    scores, diseased, patients = arteries()
    found = area_difference(scores[1], scores[0], diseased, patients)
    assert [round(each, 4) for each in (found.difference, found.low, found.high, found.p)] == [
        0.0014, -0.0115, 0.0143, 0.8271,
    ]  # fmt: skip


def test_where_each_image_is_a_patient_it_is_delongs_test() -> None:
    scores, positive = ovarian()
    wins = pairs(scores, positive)
    covariance = np.cov(wins.mean(axis=2)) / wins.shape[1] + np.cov(wins.mean(axis=1)) / wins.shape[2]
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    found = area_difference(scores[0], scores[1], positive, np.arange(len(positive)))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference) / np.sqrt(variance)), rel=1e-9)
    assert found.high - found.low == pytest.approx(2 * 1.959964 * np.sqrt(variance), rel=1e-6)


@pytest.mark.parametrize(("score", "difference"), [(0.0, 0.5), (-1.0, 1.0)])
def test_areas_without_any_spread_resolve_nothing(score: float, difference: float) -> None:
    _, positive = ovarian()
    found = area_difference(positive.astype(float), score * positive, positive, np.arange(len(positive)))
    assert found.difference == difference
    assert (found.p, found.low, found.high) == NOTHING


def test_accuracies_of_single_images_have_the_error_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 50)) < [[0.9], [0.7]]
    expected = stats.ttest_rel(first.astype(float), second.astype(float))
    found = accuracy_difference(first, second, np.arange(50))
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_copies_of_images_add_no_patients() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.random((2, 50)) < [[0.9], [0.7]]
    once = accuracy_difference(first, second, np.arange(50))
    copied = accuracy_difference(np.repeat(first, 4), np.repeat(second, 4), np.repeat(np.arange(50), 4))
    assert vars(copied) == pytest.approx(vars(once))


def test_models_that_are_right_on_the_same_images_and_a_single_patient_resolve_nothing() -> None:
    right = np.array([True, True, False, True])
    same = accuracy_difference(right, right, np.arange(4))
    one = accuracy_difference(right, ~right, np.zeros(4, dtype=np.int64))
    assert (same.p, same.low, same.high) == (one.p, one.low, one.high) == NOTHING


def test_equally_good_models_hardly_ever_differ_where_images_of_patients_are_alike() -> None:
    """By tests that take images as independent every fifth pair does."""
    found = []
    for seed in range(300):
        scores, positive, clusters = scored(seed)
        right = (scores > 0.5) == positive
        found.append(
            (
                area_difference(scores[0], scores[1], positive, clusters).p,
                accuracy_difference(right[0], right[1], clusters).p,
                area_difference(scores[0], scores[1], positive, np.arange(len(positive))).p,
            )
        )
    by_patient, of_accuracy, by_image = (np.array(found) < 0.05).mean(axis=0)
    assert max(by_patient, of_accuracy) <= 0.09
    assert by_image > 0.12
