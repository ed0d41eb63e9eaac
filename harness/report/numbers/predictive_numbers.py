"""PPV and NPV on the test set: at its class shares, and at the prevalences that the study file declares."""

from collections.abc import Sequence

import pandas as pd

from harness.report.numbers.estimates import OVER_PATIENTS
from harness.report.numbers.records import Estimate
from harness.report.numbers.threshold_numbers import OperatingPoint, rates_at
from harness.stats.predictive_values import predictive_value
from harness.stats.proportions import Bounded

PREDICTIVE = "test set, predictive values"  # the `on` of these estimates
PPV, NPV = "PPV", "NPV"


def predictive_estimates(
    test: pd.DataFrame, point: OperatingPoint, prevalences: Sequence[float], subject: str
) -> list[Estimate]:
    """PPV and NPV at the operating point: first as counted, then at each prevalence of the positive class, as `at`.

    One that is of no image, as nothing is predicted to be its class, is left out.
    """
    positive = point.positive
    rates = rates_at([test], point.threshold, positive, subject, PREDICTIVE)
    precisions = {e.of_class: e for e in rates if e.metric == "precision"}
    recalls = {e.of_class: e for e in rates if e.metric == "recall"}
    (negative,) = precisions.keys() - {positive}
    found = [
        precisions[name].model_copy(update={"metric": metric, "at": None, "of_class": positive})
        for metric, name in ((PPV, positive), (NPV, negative))
        if precisions[name].n
    ]
    for at in prevalences:
        for metric, own, other, share in ((PPV, positive, negative, at), (NPV, negative, positive, 1 - at)):
            if value := predictive_value(_bounded(recalls[own]), _bounded(recalls[other]), share):
                ends = {"value": value.value, "low": value.low, "high": value.high, "method": _method(recalls[own])}
                about = {"metric": metric, "at": at, "of_class": positive, "hits": None, "n": None}
                found.append(recalls[own].model_copy(update=about | ends))
    return found


def _bounded(e: Estimate) -> Bounded:
    low, high = e.interval or (0.0, 1.0)
    return Bounded(e.value, low, high)


def _method(recall: Estimate) -> str:
    """The method of an interval that is found from those of both recalls."""
    over = OVER_PATIENTS if (recall.method or "").endswith(OVER_PATIENTS) else ""
    return f"MOVER, from Wilson{over}"
