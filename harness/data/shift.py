"""How well a classifier separates test from training images, compared with random splits of the same data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Rows
from harness.data.duplicates import Thumbnails

CV_FOLDS = 5
RANDOM_SPLITS = 3


@dataclass(frozen=True)
class Shift:
    """The area under the ROC curve of a train-versus-test classifier, and the mean of the same on random splits."""

    auc: float
    control: float


def train_test_shift(thumbnails: Thumbnails, groups: Rows, is_test: NDArray[np.bool_]) -> Shift | None:
    """Measure the shift within one class by logistic regression on thumbnails, cross-validated over patients.

    thumbnails: [n, side, side]; groups: [n], patients; is_test: [n]. None where there are too few patients.
    """
    patients = [len(set(groups[is_test].tolist())), len(set(groups[~is_test].tolist()))]
    if min(patients) < 2 * CV_FOLDS:
        return None
    features = thumbnails.reshape(len(thumbnails), -1)
    rng = np.random.default_rng(0)
    controls = [_area(features, groups, _random_split(groups, int(is_test.sum()), rng)) for _ in range(RANDOM_SPLITS)]
    return Shift(_area(features, groups, is_test), float(np.mean(controls)))


@dataclass(frozen=True)
class ResplitGap:
    """The accuracy of a simple classifier, cross-validated and on test: with the given split, and with random ones."""

    validation: float
    test: float
    resplit_validation: float
    resplit_test: float


def resplit_control(
    thumbnails: Thumbnails, labels: Rows, groups: Rows, is_test: NDArray[np.bool_]
) -> ResplitGap | None:
    """Check whether the gap between validation and test comes from the split: then random splits do not have it.

    The classifier is logistic regression on thumbnails [n, side, side]; the random splits do not separate images of
    one patient, and their accuracies are means over RANDOM_SPLITS of them. None where there are too few test patients.
    """
    if len(set(groups[is_test].tolist())) < 2 * CV_FOLDS:
        return None
    features, rng = thumbnails.reshape(len(thumbnails), -1), np.random.default_rng(0)
    splits = [is_test, *(_random_split(groups, int(is_test.sum()), rng) for _ in range(RANDOM_SPLITS))]
    found = np.array([_validation_and_test(features, labels, groups, split) for split in splits])
    return ResplitGap(*found[0].tolist(), *found[1:].mean(axis=0).tolist())


def _validation_and_test(
    features: NDArray[np.float32], labels: Rows, groups: Rows, is_test: NDArray[np.bool_]
) -> tuple[float, float]:
    from sklearn.model_selection import cross_val_score

    from harness.data.stratified_groups import QuickStratifiedGroupKFold

    model, train = thumbnail_classifier(None), ~is_test
    folds = QuickStratifiedGroupKFold(CV_FOLDS, shuffle=True, random_state=0)
    validation = cross_val_score(model, features[train], labels[train], groups=groups[train], cv=folds).mean()
    model.fit(features[train], labels[train])
    return float(validation), float(model.score(features[is_test], labels[is_test]))


def thumbnail_classifier(class_weight: str | None) -> Any:
    """Logistic regression on the pixels of thumbnails."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500, class_weight=class_weight))


def _random_split(groups: Rows, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random test set of about `size` images, [n], without separating images of one patient."""
    order = rng.permutation(np.unique(groups))
    sizes = np.bincount(groups, minlength=int(order.max()) + 1)[order]
    chosen = order[np.cumsum(sizes) <= size]
    return np.isin(groups, chosen)


def _area(features: NDArray[np.float32], groups: Rows, is_test: NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    from harness.data.stratified_groups import QuickStratifiedGroupKFold

    model = thumbnail_classifier("balanced")
    folds = QuickStratifiedGroupKFold(CV_FOLDS, shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, is_test, groups=groups, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(is_test, scores))
