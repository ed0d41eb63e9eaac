"""The class shares that probabilities are for, and probabilities for other shares."""

import numpy as np
from numpy.typing import NDArray

from harness.stats.metrics import Probabilities

BETA = 0.999  # of the effective number: that of Cui et al. 2019 for their large data sets, iNaturalist and ImageNet
Shares = NDArray[np.float64]  # [classes]


def learnt_shares(loss: str, counts: Shares) -> Shares:
    """The class shares that a model's probabilities are for, trained by this loss on so many images of each class.

    Weights of classes count as images: `class-weighted` learns as from classes of one size, and so do the plain logits
    of `logit-adjusted` (Menon et al. 2021, section 4). `focal` weights images, not classes. counts: [classes].
    """
    if loss in ("class-weighted", "logit-adjusted"):
        sizes = (counts > 0).astype(np.float64)
    elif loss == "effective-number":
        sizes = counts / np.where(counts > 0, 1 - BETA**counts, 1)
    else:
        sizes = counts.astype(np.float64)
    shares: Shares = sizes / sizes.sum()
    return shares


def log_odds_shift(true: Shares, learnt: Shares) -> Shares:
    """What to add to the logits [classes] of a model that learnt other class shares than the true ones.

    By Bayes' rule, p(class | image) is proportional to p(image | class) times the share of the class (Saerens et al.
    2002, equation 4). 0 for a class that is in neither.
    """
    both = (true > 0) & (learnt > 0)
    shift: Shares = np.log(np.where(both, true, 1)) - np.log(np.where(both, learnt, 1))
    return shift


def shifted(probabilities: Probabilities, shift: Shares) -> Probabilities:
    """The probabilities [n, classes] of logits to which this was added [classes]."""
    scaled = probabilities * np.exp(shift - shift.max())
    normalised: Probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    return normalised
