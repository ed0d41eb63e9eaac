"""The user's own metrics, `metrics: [module:name]`: computed from stored predictions, so they change no fit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, described
from harness.stats.arrays import arrays

if TYPE_CHECKING:
    import pandas as pd

    from harness.stats.bootstrap import Statistic

MetricFunction = Callable[[NDArray[np.int64], NDArray[np.float64]], float]  # labels [n], probabilities [n, classes]


@dataclass(frozen=True)
class OwnMetric:
    """A metric of the user's own. name: in tables, and in MLflow behind `val/` and `test/`."""

    name: str
    compute: MetricFunction
    greater_is_better: bool = True

    def value(self, probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """The metric of these predictions. Raises HarnessError where it fails or is not a finite number."""
        try:
            found = float(self.compute(labels.copy(), probabilities.copy()))
        except Exception as error:  # a user's code raises anything
            raise HarnessError(f"the metric {self.name}, of {len(labels)} predictions: {described(error)}") from None
        if not math.isfinite(found):
            raise HarnessError(f"the metric {self.name}, of {len(labels)} predictions: it is {found}, not finite")
        return found

    def statistic(self, probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> "Statistic":
        """The metric as the bootstrap computes it; nan of a resample of which it is not defined."""
        rows = np.arange(len(labels))

        def of_resample(weights: NDArray[np.float64]) -> float:
            drawn = np.repeat(rows, weights.astype(np.int64))
            try:
                return self.value(probabilities[drawn], labels[drawn])
            except HarnessError:
                return math.nan

        return lambda weights: np.array([of_resample(each) for each in weights])


@dataclass(frozen=True)
class OwnScores:
    """The own metrics of a study, and their values."""

    metrics: tuple[OwnMetric, ...] = ()

    def of(self, predictions: "pd.DataFrame") -> dict[str, float]:
        """The values of a table of predictions, by name."""
        if not self.metrics:
            return {}
        _, probabilities, labels = arrays(predictions)
        return {metric.name: metric.value(probabilities, labels) for metric in self.metrics}


NO_OWN = OwnScores()
