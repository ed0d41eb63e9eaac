import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from harness.stats.bootstrap import area, average, bootstrap_test, cluster_bootstrap, mean_of, ratio, resampled, within


def test_with_one_image_for_each_patient_it_is_the_ordinary_bootstrap() -> None:
    hits = np.random.default_rng(1).random(200) < 0.8
    everything = np.ones(200, dtype=bool)
    ((low, high),) = cluster_bootstrap(np.arange(200), [ratio(hits, everything)], resamples=4000)
    expected = stats.bootstrap((hits,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_copies_of_an_image_add_no_knowledge() -> None:
    """100 patients with 9 identical images each know as much as 100 images, not as 900."""
    hits = np.random.default_rng(2).random(100) < 0.7
    (alone,) = cluster_bootstrap(np.arange(100), [ratio(hits, np.ones(100, dtype=bool))], seed=3)
    copies = ratio(np.repeat(hits, 9), np.ones(900, dtype=bool))
    (by_patient,) = cluster_bootstrap(np.repeat(np.arange(100), 9), [copies], seed=3)
    assert by_patient == pytest.approx(alone)
    ((low, high),) = cluster_bootstrap(np.arange(900), [copies], seed=3)
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_its_width_is_that_of_the_cluster_variance() -> None:
    """For equal clusters the variance of the mean is that of the cluster means over their number."""
    rng = np.random.default_rng(4)
    hits = rng.random((300, 5)) < rng.beta(2, 1, 300)[:, None]
    ((low, high),) = cluster_bootstrap(
        np.repeat(np.arange(300), 5), [ratio(hits.ravel(), np.ones(1500, dtype=bool))], resamples=4000
    )
    error = hits.mean(axis=1).std() / np.sqrt(300)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.06)


WEIL = {  # (pups alive after 21 days, after 4 days) of each litter: Weil 1970, in Table 1 of Rao & Scott 1992
    "control": "13/13 12/12 9/9 9/9 8/8 8/8 12/13 11/12 9/10 9/10 8/9 11/13 4/5 5/7 7/10 7/10",
    "treated": "12/12 11/11 10/10 9/9 10/11 9/10 9/10 8/9 8/9 4/5 7/9 4/7 5/10 3/6 3/10 0/7",
}


@pytest.mark.parametrize(("group", "design_effect"), [("control", 1.232495), ("treated", 3.952861)])
def test_litters_have_the_published_design_effect(group: str, design_effect: float) -> None:
    """Of Rao & Scott 1992, Biometrics 48:577, to seven digits as the R package PF documents them for `rsb`.

    Theirs is the linearised variance of the ratio with m / (m - 1) for m litters, over that of as many single pups.
    """
    litters = [(int(alive), int(of)) for alive, of in (litter.split("/") for litter in WEIL[group].split())]
    hits = np.concatenate([np.arange(of) < alive for alive, of in litters])
    litter = np.repeat(np.arange(len(litters)), [of for _, of in litters])
    survival, drawn = ratio(hits, np.ones(len(hits), dtype=bool)), list[float]()

    def noted(weights: np.ndarray) -> np.ndarray:
        values = survival(weights)
        drawn.extend(values)
        return values

    cluster_bootstrap(litter, [noted], resamples=20_000)
    of_single_pups = hits.mean() * (1 - hits.mean()) / len(hits)
    effect = np.var(drawn) * len(litters) / (len(litters) - 1) / of_single_pups
    assert effect == pytest.approx(design_effect, rel=0.05)


def test_the_weighted_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    scores, positive = rng.integers(0, 20, 300) / 20, rng.random(300) < 0.4
    weights = rng.integers(0, 4, 300).astype(float)
    assert area(scores, positive)(weights) == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights))


def test_a_class_that_is_drawn_in_no_resample_leaves_them_out() -> None:
    positive = np.array([True, False, False, False])
    ((low, high),) = cluster_bootstrap(np.arange(4), [area(np.array([0.25, 0.1, 0.2, 0.3]), positive)])
    assert (low, high) == (0, 1)


def test_resamples_that_all_agree_give_no_interval() -> None:
    everything = np.ones(30, dtype=bool)
    right = ratio(everything, everything)
    one_patient = ratio(np.arange(30) < 20, everything)
    assert np.isnan(cluster_bootstrap(np.arange(30), [right])).all()
    assert np.isnan(cluster_bootstrap(np.zeros(30, dtype=np.int64), [one_patient])).all()
    assert not np.isnan(cluster_bootstrap(np.arange(30), [one_patient])).any()


def test_the_mean_of_statistics_is_taken_within_each_resample() -> None:
    """Of a repeat and its opposite the mean is the same in every resample; of a repeat and itself it is that."""
    hits, everything = np.random.default_rng(7).random(60) < 0.7, np.ones(60, dtype=bool)
    one, opposite = ratio(hits, everything), ratio(~hits, everything)
    alone, twice, mirrored = cluster_bootstrap(
        np.arange(60) // 2, [one, mean_of([one, one]), mean_of([one, opposite])], resamples=500
    )
    assert twice == alone
    assert np.isnan(mirrored).all()


def test_the_difference_of_two_groups_has_the_p_of_welch_and_copies_of_images_do_not_lower_it() -> None:
    rng = np.random.default_rng(8)
    numbers, second = rng.normal(0, 1, 300), np.arange(300) >= 120
    numbers[second] += 0.3
    expected = stats.ttest_ind(numbers[~second], numbers[second], equal_var=False)
    for copies in (1, 5):
        rows = np.repeat(np.arange(300), copies)
        sides = [np.flatnonzero(second[rows] == side) for side in (False, True)]
        means = [within(side, average(numbers[rows][side])) for side in sides]
        drawn = resampled(rows, means, resamples=4000)
        difference = float(numbers[~second].mean() - numbers[second].mean())
        found = bootstrap_test(difference, drawn[:, 0] - drawn[:, 1])
        interval = expected.confidence_interval()
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.03)
        assert found.p == pytest.approx(expected.pvalue, rel=0.3)


def test_where_all_resamples_agree_a_difference_is_not_tested() -> None:
    found = bootstrap_test(0.5, np.full(100, 0.5))
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 1.0)
