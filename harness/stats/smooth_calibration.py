"""The smooth calibration curve: the share of positives by predicted probability, with a band over patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.areas import Positive
from harness.stats.bootstrap import Values, Weights, percentile_intervals, resampled_curve
from harness.stats.calibration import log_odds
from harness.stats.clusters import Clusters

KNOTS = (0.05, 0.35, 0.65, 0.95)  # quantiles of the log-odds (Harrell 2015, Regression Modeling Strategies, table 2.3)
LEAST = 1e-6  # a probability nearer to 0 or 1 than this counts as this
PENALTY = 1e-3  # of squared coefficients of standardised columns: keeps those finite that separate the classes
POINTS = 41
RESAMPLES = 500
STEPS, LONGEST_STEP = 25, 4.0  # of Newton's method


@dataclass(frozen=True, eq=False)
class SmoothCurve:
    """At predicted probabilities [points] the share of positives, and its band; ends are nan where it has none."""

    at: NDArray[np.float64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def smooth_curve(probabilities: NDArray[np.float64], positive: Positive, clusters: Clusters) -> SmoothCurve | None:
    """A logistic regression of the class on a restricted cubic spline of the log-odds, as in Harrell 2015.

    Between the least and the largest percentile but one of the probabilities. All [n]; with several repeats the rows
    of all of them. None where a class is missing or all probabilities are alike. The band is of resampled clusters.
    """
    odds = log_odds(probabilities, LEAST)
    if positive.all() or not positive.any() or np.ptp(odds) < LEAST:
        return None
    knots = np.unique(np.quantile(odds, KNOTS))
    low, high = np.quantile(probabilities, [0.01, 0.99])
    at = np.linspace(low, high, POINTS)
    columns, points = _basis(odds, knots), _basis(log_odds(at, LEAST), knots)
    centre, scale = columns.mean(axis=0), columns.std(axis=0)
    kept = scale > LEAST
    if not kept.any() or low == high:
        return None
    design, shown = (
        np.column_stack([np.ones(len(part)), ((part - centre) / np.where(kept, scale, 1))[:, kept]])
        for part in (columns, points)
    )

    def curve(weights: Weights) -> Values:
        return _expit(_fitted(design, positive.astype(np.float64), weights) @ shown.T)

    value = curve(np.ones((1, len(odds))))[0]
    band = np.array(percentile_intervals(resampled_curve(clusters, curve, RESAMPLES))).T
    return SmoothCurve(at, value, *band)


def _basis(odds: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """The columns [n, knots - 1] of a spline that is linear beyond the outer knots; [n, 1] of fewer than three."""
    if len(knots) < 3:
        return odds[:, None]
    last, before = knots[-1], knots[-2]
    cubes = np.clip(odds[:, None] - knots, 0, None) ** 3 / (last - knots[0]) ** 2
    ends = cubes[:, -2:-1] * (last - knots[:-2]) - cubes[:, -1:] * (before - knots[:-2])
    return np.column_stack([odds, cubes[:, :-2] - ends / (last - before)])


def _fitted(design: NDArray[np.float64], positive: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """The coefficients [resamples, columns] of weighted logistic regressions, by Newton's method."""
    columns = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    penalty = PENALTY * np.diag([0.0, *[1.0] * (columns - 1)])
    found = np.zeros((len(weights), columns))
    for _ in range(STEPS):
        fitted = _expit(found @ design.T)
        slope = (weights * (positive - fitted)) @ design - found @ penalty
        curvature = ((weights * fitted * (1 - fitted)) @ products).reshape(-1, columns, columns) + penalty
        curvature += 1e-9 * np.eye(columns)
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        found += step * np.minimum(1, LONGEST_STEP / np.maximum(length, LONGEST_STEP / 2))
        if length.max() < 1e-8:
            break
    return found


def _expit(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(odds, -40, 40)))
    return found
