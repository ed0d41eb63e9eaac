import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn import metrics as sk

from harness.stats.metrics import (
    classification_metrics,
    confusion_matrix,
    curve_areas,
    expected_calibration_error,
    per_class_table,
)

RNG = np.random.default_rng(0)
LABELS = {classes: RNG.permutation(np.arange(200) % (classes + 1) % classes) for classes in (2, 3)}  # unequal classes
PROBABILITIES = {
    c: RNG.dirichlet(np.ones(c), 200) * 0.6 + 0.4 * np.eye(c)[np.where(RNG.random(200) < 0.6, LABELS[c], 0)]
    for c in (2, 3)
}
NAMES = {
    "loss", "accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy", "mcc", "roc_auc", "pr_auc",
    "brier", "ece",
}  # fmt: skip


def by_scikit_learn(p: NDArray[Any], y: NDArray[Any], positive: int | None) -> dict[str, float]:
    """The same metrics from the one-against-rest questions of each class that counts."""
    called = p.argmax(axis=1)
    classes = range(p.shape[1]) if positive is None else [positive]

    def mean(score: Any, guess: Any) -> float:
        return float(np.mean([score(y == c, guess(c)) for c in classes]))

    one_hot = np.eye(p.shape[1])[y]
    return {
        "loss": sk.log_loss(y, p, labels=range(p.shape[1])),
        "accuracy": sk.accuracy_score(y, called),
        "precision": mean(sk.precision_score, lambda c: called == c),
        "recall": mean(sk.recall_score, lambda c: called == c),
        "f1": mean(sk.f1_score, lambda c: called == c),
        "specificity": float(np.mean([sk.recall_score(y != c, called != c) for c in classes])),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called),
        "mcc": sk.matthews_corrcoef(y, called),
        "roc_auc": mean(sk.roc_auc_score, lambda c: p[:, c]),
        "pr_auc": mean(sk.average_precision_score, lambda c: p[:, c]),
        "brier": float(((p - one_hot) ** 2).sum(1).mean())
        if positive is None
        else sk.brier_score_loss(y == positive, p[:, positive]),
    }


@pytest.mark.parametrize(("classes", "positive"), [(2, 1), (2, 0), (2, None), (3, None), (3, 2)])
def test_every_metric_equals_scikit_learns(classes: int, positive: int | None) -> None:
    p, y = PROBABILITIES[classes], LABELS[classes]
    found = classification_metrics(p, y, positive)
    assert set(found) == NAMES
    del found["ece"]
    assert found == pytest.approx(by_scikit_learn(p, y, positive), abs=1e-12)


def test_the_metrics_of_a_small_case_equal_those_worked_out_by_hand() -> None:
    chance = np.array([0.9, 0.8, 0.3, 0.6, 0.1])  # of class 1, the positive one; called 1, 1, 0, 1, 0
    p, y = np.stack([1 - chance, chance], axis=1), np.array([1, 1, 1, 0, 0])
    expected = {
        "loss": -np.log([0.9, 0.8, 0.3, 0.4, 0.9]).mean(),
        "accuracy": 3 / 5, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "specificity": 1 / 2,
        "balanced_accuracy": (2 / 3 + 1 / 2) / 2, "mcc": (2 * 1 - 1 * 1) / 6,
        "roc_auc": 5 / 6, "pr_auc": (1 + 1 + 3 / 4) / 3,
        "brier": (0.01 + 0.04 + 0.49 + 0.36 + 0.01) / 5,
        "ece": (0.1 + 0.2 + 0.7 + 0.6 + 0.1) / 5,  # every image is a bin
    }  # fmt: skip
    assert classification_metrics(p, y, 1) == pytest.approx(expected)


@pytest.mark.parametrize(("only", "positive"), [(0, 1), (1, 1), (0, None), (1, None)])
def test_validation_images_of_one_class_give_finite_numbers_and_zero_where_undefined(
    only: int, positive: int | None
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = classification_metrics(PROBABILITIES[2], np.full(200, only), positive)
    assert set(found) == NAMES
    assert np.isfinite(list(found.values())).all()
    assert (found["roc_auc"], found["pr_auc"], found["mcc"]) == (0, 0, 0)
    if positive == 1:
        assert found["recall"] == (0 if only == 0 else found["accuracy"])
        assert found["specificity"] == (found["accuracy"] if only == 0 else 0)


def test_a_class_that_nothing_is_called_has_precision_zero() -> None:
    found = classification_metrics(np.tile([0.9, 0.1], (4, 1)), np.array([0, 0, 1, 1]), 1)
    assert (found["precision"], found["recall"], found["f1"], found["specificity"]) == (0, 0, 0, 1)


def test_a_certain_mistake_costs_a_finite_loss() -> None:
    found = classification_metrics(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]), 1)
    assert found["loss"] == pytest.approx(-np.log(1e-15) / 2)


def test_perfect_predictions_are_perfect_in_every_metric() -> None:
    y = LABELS[3]
    found = classification_metrics(np.eye(3)[y], y, None)
    assert {name for name, value in found.items() if value == pytest.approx(0, abs=1e-12)} == {"loss", "brier", "ece"}
    assert {name for name, value in found.items() if value == pytest.approx(1)} == NAMES - {"loss", "brier", "ece"}


def test_perfect_calibration_has_no_error_and_overconfidence_has_its_size() -> None:
    right = np.tile(np.arange(10) < 8, 10)  # 8 of 10 right in every bin
    y = np.where(right, 1, 0)
    assert expected_calibration_error(np.tile([0.2, 0.8], (100, 1)), y) == pytest.approx(0)
    assert expected_calibration_error(np.tile([0.05, 0.95], (100, 1)), y) == pytest.approx(0.15)


def test_calibration_error_does_not_cancel_between_bins() -> None:
    confidence = np.repeat([0.6, 0.9], 10)
    y = np.r_[np.ones(9), np.zeros(1), np.ones(6), np.zeros(4)].astype(np.int64)  # under-, then overconfident by 0.3
    p = np.stack([1 - confidence, confidence], axis=1)
    assert expected_calibration_error(p, y, bins=2) == pytest.approx(0.3)
    assert expected_calibration_error(p, y, bins=1) == pytest.approx(0)


def test_calibration_bins_hold_equally_many_images() -> None:
    confidence = np.r_[0.51 + np.arange(18) / 1000, 0.9, 0.9]  # bins of equal width would put 18 in one
    y = np.r_[np.ones(9), np.zeros(9), np.ones(2)].astype(np.int64)
    p = np.stack([1 - confidence, confidence], axis=1)
    gaps = [abs(y[i : i + 2].mean() - confidence[i : i + 2].mean()) for i in range(0, 20, 2)]
    assert expected_calibration_error(p, y) == pytest.approx(np.mean(gaps))


predictions = st.integers(2, 4).flatmap(
    lambda c: st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            arrays(np.float64, (n, c), elements=st.floats(0.01, 1)).map(lambda a: a / a.sum(axis=1, keepdims=True)),
            arrays(np.int64, n, elements=st.integers(0, c - 1)),
            st.sampled_from([None, *range(c)]),
        )
    )
)


@given(predictions)
def test_metrics_stay_in_their_range_and_do_not_depend_on_the_order(
    case: tuple[NDArray[np.float64], NDArray[np.int64], int | None],
) -> None:
    p, y, positive = case
    found = classification_metrics(p, y, positive)
    assert all(0 <= value <= 1 + 1e-12 for name, value in found.items() if name not in ("loss", "mcc", "brier"))
    assert found["loss"] >= 0
    assert -1 - 1e-12 <= found["mcc"] <= 1 + 1e-12
    assert 0 <= found["brier"] <= 2
    back = classification_metrics(p[::-1], y[::-1], positive)
    del found["ece"], back["ece"]  # equal confidences may change bins
    assert back == pytest.approx(found)


@given(predictions)
def test_confusion_and_class_table_equal_scikit_learns(
    case: tuple[NDArray[np.float64], NDArray[np.int64], int | None],
) -> None:
    p, y, _ = case
    called, classes = p.argmax(axis=1), list(range(p.shape[1]))
    np.testing.assert_array_equal(confusion_matrix(p, y), sk.confusion_matrix(y, called, labels=classes))
    table = per_class_table(p, y)
    expected = sk.precision_recall_fscore_support(y, called, labels=classes, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(table[name], values)
    specificity = [sk.recall_score(y != c, called != c, zero_division=0) for c in classes]
    np.testing.assert_allclose(table["specificity"], specificity)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_the_areas_under_the_curves_are_scikit_learns_with_ties_too(images: list[tuple[bool, int]]) -> None:
    actual, score = np.array([a for a, _ in images]), np.array([s / 5 for _, s in images])
    if actual.all() or not actual.any():
        assert curve_areas(actual, score) == (0, 0)
    else:
        expected = (sk.roc_auc_score(actual, score), sk.average_precision_score(actual, score))
        assert curve_areas(actual, score) == pytest.approx(expected, abs=1e-12)
