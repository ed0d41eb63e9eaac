"""Sets of classes that hold the right one as often as is wanted: split conformal prediction."""

import math

import numpy as np
from numpy.typing import NDArray

from harness.stats import ROUNDING
from harness.stats.metrics import Probabilities


def least_probabilities(
    probabilities: Probabilities, labels: NDArray[np.int64], coverage: float
) -> NDArray[np.float64]:
    """The probability from which on each class is in the set of an image, [classes].

    For each class apart (Vovk 2012, Conditional validity), by the least ambiguous sets of Sadinle, Lei & Wasserman
    2019, JASA 114:223: of the n images of a class the ceil((n + 1) coverage) surest have it. Where these are more than
    n, every image has it. The set of another image of the class, drawn as these were, has it in at least this share.
    probabilities: [n, classes] of images that the model was not trained on. labels: [n].
    """
    least = np.zeros(probabilities.shape[1])
    for index in range(len(least)):
        scores = np.sort(probabilities[labels == index, index])[::-1]
        rank = math.ceil((len(scores) + 1) * coverage - ROUNDING)
        least[index] = scores[rank - 1] if rank <= len(scores) else 0.0
    return least
