"""Conformal sets of classes, fitted on out-of-fold predictions: their coverage and their size on the test set."""

import numpy as np
import pandas as pd

from harness.report.numbers.estimates import over_patients, patients_of, rate
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Estimate
from harness.stats.arrays import arrays
from harness.stats.conformal import least_probabilities

CONFORMAL = "test set, conformal sets"  # the `on` of these estimates
COVERAGES = (0.9, 0.95)
LEAST_PROBABILITY, COVERAGE, ONE_CLASS, SIZE = "least probability", "coverage", "sets of one class", "mean size"


def conformal_estimates(out_of_fold: pd.DataFrame, test: pd.DataFrame, subject: str) -> list[Estimate]:
    """For each coverage that is wanted, as `at`: least probability and coverage by class, and the size of the sets.

    The least probabilities are found in each repeat of the folds, and their means are applied to the test set.
    """
    fitted = [arrays(part) for part in by_repeat(out_of_fold)]
    classes, probabilities, labels = arrays(test)
    patients, found = patients_of(test), list[Estimate]()
    for at in COVERAGES:
        least = np.mean([least_probabilities(scores, of, at) for _, scores, of in fitted], axis=0)
        sets = probabilities >= least
        sizes, right = sets.sum(axis=1), sets[np.arange(len(labels)), labels]
        counted = [
            *((COVERAGE, name, right, labels == index) for index, name in enumerate(classes)),
            (ONE_CLASS, None, sizes == 1, np.ones_like(right)),
        ]
        of_level = [
            Estimate(subject=subject, on=CONFORMAL, metric=LEAST_PROBABILITY, of_class=name, value=float(value))
            for name, value in zip(classes, least, strict=True)
        ]
        for metric, of_class, hits, among in counted:
            e = rate(subject, CONFORMAL, metric, int((hits & among).sum()), int(among.sum()), of_class)
            of_level.append(over_patients(e, hits[None], among[None], patients))
        of_level.append(Estimate(subject=subject, on=CONFORMAL, metric=SIZE, value=float(sizes.mean()), n=len(sizes)))
        found += [e.model_copy(update={"at": at}) for e in of_level if e.n != 0]
    return found
