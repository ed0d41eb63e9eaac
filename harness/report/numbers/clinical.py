"""What a clinic asks of a model that tells two classes apart: where to cut, what a call is worth, how sure it is."""

import pandas as pd

from harness.report.numbers.calibration_curve import SMOOTH, curve_estimates
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.decision_curve import CURVE, decision_estimates
from harness.report.numbers.predictive_numbers import PREDICTIVE, predictive_estimates
from harness.report.numbers.recalibration import RECALIBRATED, recalibration_estimates
from harness.report.numbers.records import Estimate
from harness.report.numbers.referral import REFERRED, referral_estimates
from harness.report.numbers.threshold_numbers import OPERATING, chosen_point, threshold_estimates
from harness.study import Study

# the `on` of those that are of the test set
CLINICAL = (OPERATING, PREDICTIVE, REFERRED, CURVE + TEST, RECALIBRATED + TEST, SMOOTH + TEST)


def clinical_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame, positive: str | None, study: Study, subject: str
) -> list[Estimate]:
    """The numbers of one scenario, each chosen out of fold and then measured on the test set.

    Empty where there are not two classes.
    """
    point = chosen_point(out_of_fold, positive, study.operating)
    if point is None or positive is None:
        return []
    found = threshold_estimates(out_of_fold, test, point, subject)
    found += predictive_estimates(test, point, study.prevalences, subject)
    found += referral_estimates(out_of_fold, test, point, subject)
    for on, frame in ((OUT_OF_FOLD, out_of_fold), (TEST, test)):
        found += decision_estimates(frame, positive, subject, on)
        found += recalibration_estimates(frame, positive, subject, on)
        found += curve_estimates(frame, positive, subject, on)
    return found
