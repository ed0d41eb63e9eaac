"""Calibration of the probabilities of a class."""

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-12  # a probability nearer to 0 or 1 than this counts as this


def calibration_slope(probabilities: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """The slope of a logistic regression of the class on the log-odds of its probability (Cox 1958).

    1 where probabilities are neither too extreme (below 1) nor too moderate. None where there is no finite one: where
    a class is missing, or the probabilities separate the classes. Both are [n].
    """
    from sklearn.linear_model import LogisticRegression

    if positive.all() or not positive.any():
        return None
    near = np.clip(probabilities, LEAST, 1 - LEAST)
    odds = np.log(near) - np.log1p(-near)
    if odds[positive].min() > odds[~positive].max() or odds[positive].max() < odds[~positive].min():
        return None
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(odds[:, None], positive)
    return float(fitted.coef_[0, 0])
