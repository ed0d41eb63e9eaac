"""Calibration of the probabilities of a class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats import UPPER_END
from harness.stats.areas import Positive
from harness.stats.clusters import Clusters, cluster_sums, unbiased
from harness.stats.proportions import Bounded

LEAST = 1e-12  # a probability nearer to 0 or 1 than this counts as this
INTERCEPT, SLOPE, RATIO = "calibration intercept", "calibration slope", "O/E"


@dataclass(frozen=True, eq=False)
class _Moved:
    """A number, and by how much each image moves it, [n]."""

    value: float
    moves: NDArray[np.float64]


def calibration_slope(probabilities: NDArray[np.float64], positive: Positive) -> float | None:
    """The slope of a logistic regression of the class on the log-odds of its probability (Cox 1958).

    1 where probabilities are neither too extreme (below 1) nor too moderate. None where there is no finite one: where
    a class is missing, or the probabilities separate the classes. Both are [n].
    """
    line = _line(log_odds(probabilities), positive)
    return line and line[1]


def recalibration(repeats: NDArray[np.float64], positive: Positive, clusters: Clusters) -> dict[str, Bounded]:
    """Calibration intercept, calibration slope and O/E with intervals, by their names; those that there are.

    Intercept: that of a logistic regression whose slope is 1; 0 where probabilities are right in the large. Slope: of
    one with both (Cox 1958; Van Calster et al. 2019, BMC Medicine 17:230). O/E: the positive images by the sum of the
    probabilities, with the interval of its logarithm. Errors are over patients (the sandwich), with Student's t.
    repeats: [repeats, n], of whose numbers the means are taken. Empty where a class is missing, or for one patient.
    """
    if positive.all() or not positive.any() or len(np.unique(clusters)) < 2:
        return {}
    of = {INTERCEPT: _intercept, SLOPE: _slope, RATIO: _ratio}
    every = {name: [number(each, positive) for each in repeats] for name, number in of.items()}
    found = {name: [moved for moved in each if moved is not None] for name, each in every.items()}
    return {
        name: _bounded(each, clusters, logarithmic=name == RATIO)
        for name, each in found.items()
        if len(each) == len(repeats)
    }


def _bounded(each: Sequence[_Moved], clusters: Clusters, logarithmic: bool) -> Bounded:
    """The mean over the repeats, with its interval over patients, each of whom moves all repeats."""
    from scipy.special import stdtrit

    value = float(np.mean([moved.value for moved in each]))
    moves = cluster_sums(np.mean([moved.moves for moved in each], axis=0), clusters)
    error = float(np.sqrt(unbiased(len(moves)) * (moves**2).sum()))
    half = float(stdtrit(len(moves) - 1, UPPER_END)) * error
    if logarithmic:
        factor = float(np.exp(half / value))
        return Bounded(value, value / factor, value * factor)
    return Bounded(value, value - half, value + half)


def log_odds(probabilities: NDArray[np.float64], least: float = LEAST) -> NDArray[np.float64]:
    """The log-odds of probabilities. least: one that is nearer to 0 or 1 counts as this."""
    near = np.clip(probabilities, least, 1 - least)
    odds: NDArray[np.float64] = np.log(near) - np.log1p(-near)
    return odds


def _line(odds: NDArray[np.float64], positive: Positive) -> tuple[float, float] | None:
    """Intercept and slope of a logistic regression of the class on these log-odds; None where they are not finite."""
    from sklearn.linear_model import LogisticRegression

    if positive.all() or not positive.any():
        return None
    if odds[positive].min() > odds[~positive].max() or odds[positive].max() < odds[~positive].min():
        return None
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(odds[:, None], positive)
    return float(fitted.intercept_[0]), float(fitted.coef_[0, 0])


def _slope(probabilities: NDArray[np.float64], positive: Positive) -> _Moved | None:
    from scipy.special import expit

    odds = log_odds(probabilities)
    line = _line(odds, positive)
    if line is None:
        return None
    fitted = expit(line[0] + line[1] * odds)
    weights = fitted * (1 - fitted)
    centred = odds - np.average(odds, weights=weights)  # so that the intercept has no part in the slope's error
    information = float((weights * centred**2).sum())
    if information < LEAST:  # probabilities that hardly differ have no slope
        return None
    return _Moved(line[1], centred * (positive - fitted) / information)


def _intercept(probabilities: NDArray[np.float64], positive: Positive) -> _Moved:
    from scipy.optimize import brentq
    from scipy.special import expit

    odds, count = log_odds(probabilities), int(positive.sum())
    most = float(np.abs(odds).max() + np.log(len(odds)))  # from which on the sum is above that of all but one image
    value = float(brentq(lambda by: expit(odds + by).sum() - count, -most, most))
    fitted = expit(odds + value)
    return _Moved(value, (positive - fitted) / float((fitted * (1 - fitted)).sum()))


def _ratio(probabilities: NDArray[np.float64], positive: Positive) -> _Moved:
    near = np.clip(probabilities, LEAST, None)
    value = float(positive.sum() / near.sum())
    return _Moved(value, (positive - value * near) / float(near.sum()))
