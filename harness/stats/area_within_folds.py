"""The area under the ROC curve within folds, averaged: scores of different models are never ranked together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.areas import Area, Positive, area_moves, bounded_area
from harness.stats.bootstrap import Statistic, area, known_mean_of, within
from harness.stats.clusters import Clusters
from harness.stats.metrics import curve_areas

WITHIN_FOLDS = "; within folds, averaged"  # ends the method of an area


@dataclass(frozen=True, eq=False)
class FoldScores:
    """The scores of one fold's model. rows: [m] its validation images, among all of them; scores: [m]."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]


def area_within_folds(folds: Sequence[FoldScores], positive: Positive, clusters: Clusters) -> Area | None:
    """The mean of the areas of the folds that have images of both classes; None where there is no such fold.

    An image moves the area of its own fold, and with several repeats one in each; the error is over patients, as in
    `bounded_area`. It is not known where a fold has a single image of a class: then the ends are nan.
    positive, clusters: [n] of all images.
    """
    known = [fold for fold in folds if positive[fold.rows].any() and not positive[fold.rows].all()]
    if not known:
        return None
    value = float(np.mean([curve_areas(positive[fold.rows], fold.scores)[0] for fold in known]))
    least = min(min(positive[fold.rows].sum(), (~positive[fold.rows]).sum()) for fold in known)
    if least < 2:
        return Area(value, np.nan, np.nan, "")
    moves = np.zeros(len(positive))
    for fold in known:
        _, of_fold = area_moves(fold.scores[None], positive[fold.rows])
        np.add.at(moves, fold.rows, of_fold[0] / len(known))
    return bounded_area(value, moves, positive, clusters)


def area_of_folds(folds: Sequence[FoldScores], positive: Positive) -> Statistic:
    """The same as a statistic of the bootstrap: nan of a resample without a fold that has both classes."""
    return known_mean_of([within(fold.rows, area(fold.scores, positive[fold.rows])) for fold in folds])
