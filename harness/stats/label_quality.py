"""Which labels are probably wrong, by predictions of models that never saw them (cleanlab's confident learning)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError

INSTALL = "pip install 'harness[labels]'"


@dataclass(frozen=True)
class LabelQuality:
    """What the predictions say of n labels.

    scores: [n], from 0 (surely wrong) to 1. suspect: [n], whether confident learning takes the label for wrong.
    probabilities: [n, classes], the mean over the members. joint: [classes, classes], the estimated share of images
    with each given label (row) and each true one (column).
    """

    scores: NDArray[np.float64]
    suspect: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    joint: NDArray[np.float64]


def label_quality(labels: NDArray[np.int64], members: Sequence[NDArray[np.float64]]) -> LabelQuality:
    """Rate labels by the predictions of several members, each [n, classes], of models that were not trained on them.

    The score is cleanlab's self-confidence, over members weighted by their accuracy (Kuan and Mueller 2022). Suspects
    and the joint distribution are those of confident learning (Northcutt et al. 2021) on the mean prediction.

    Raises HarnessError where cleanlab is not installed.
    """
    try:
        from cleanlab.count import estimate_joint
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_ensemble_scores
    except ImportError:
        raise HarnessError(f"label errors are found by cleanlab, which is not installed: {INSTALL}") from None
    mean = np.mean(members, axis=0)
    scores = get_label_quality_ensemble_scores(labels, list(members), verbose=False)
    suspect = find_label_issues(labels, mean, n_jobs=1)
    return LabelQuality(np.asarray(scores), np.asarray(suspect), mean, np.asarray(estimate_joint(labels, mean)))
