"""Temperature scaling: one number, or one and a shift for each class, that makes probabilities fit labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.metrics import Labels, Probabilities

LEAST = 1e-15  # a smaller probability counts as this
SHARPEST, FLATTEST = 0.05, 20.0  # temperatures; labels that the classes are told apart by perfectly ask for 0


@dataclass(frozen=True, eq=False)
class Scaling:
    """What the logits are divided by, and what is added to each then."""

    temperature: float
    shift: NDArray[np.float64]  # [classes], of mean 0

    def of(self, probabilities: Probabilities) -> Probabilities:
        """The scaled probabilities [n, classes]."""
        logits = np.log(np.clip(probabilities, LEAST, None)) / self.temperature + self.shift
        scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
        normalised: Probabilities = scaled / scaled.sum(axis=1, keepdims=True)
        return normalised


def fitted_scaling(probabilities: Probabilities, labels: Labels, shifted: bool = False) -> Scaling:
    """The scaling with the least log loss on these predictions (Guo et al. 2017).

    shifted: with a shift for each class (the bias-corrected temperature of Alexandari et al. 2020), which takes in that
    a model learnt other class shares. The log loss is convex in 1 / temperature and the shifts.
    """
    from scipy.optimize import minimize

    logits, classes = np.log(np.clip(probabilities, LEAST, None)), probabilities.shape[1]
    truth = np.eye(classes)[labels]

    def loss(by: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved = by[0] * logits + by[1:]
        top = moved.max(axis=1, keepdims=True)
        normaliser = top + np.log(np.exp(moved - top).sum(axis=1, keepdims=True))
        off = np.exp(moved - normaliser) - truth
        slopes = [(off * logits).sum() / len(labels), *(off.mean(axis=0) if shifted else np.zeros(classes))]
        return float((normaliser[:, 0] - moved[truth.astype(bool)]).mean()), np.array(slopes)

    limits = [(1 / FLATTEST, 1 / SHARPEST), *[(None, None) if shifted else (0.0, 0.0)] * classes]
    start = np.array([1.0, *[0.0] * classes])
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    found = minimize(loss, start, jac=True, bounds=limits, method="L-BFGS-B", options=options).x
    return Scaling(float(1 / found[0]), found[1:] - found[1:].mean())
