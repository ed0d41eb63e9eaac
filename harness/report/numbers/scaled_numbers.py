"""Temperature scaling, fitted out of fold: log loss, Brier score, calibration error and slope before and after."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.predicted import with_bootstrap
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.recalibration import recalibration_estimates
from harness.report.numbers.records import Estimate
from harness.stats.arrays import arrays
from harness.stats.calibration import INTERCEPT, SLOPE
from harness.stats.metrics import Labels, Probabilities, brier, expected_calibration_error, log_loss
from harness.stats.temperature import Scaling, fitted_scaling

SCALED = "temperature scaling, "  # before the state and the name of the images, in `Estimate.on`
FITTED = "temperature scaling, fitted out of fold"  # the `on` of what was fitted
BEFORE, TEMPERATURE, WITH_SHIFT = "as predicted", "temperature", "temperature and class shift"
STATES = {TEMPERATURE: False, WITH_SHIFT: True}
MEASURES = ("loss", "brier", "ece", INTERCEPT, SLOPE)
CROSS_FITTED = "each fold by what was fitted on the other folds of its repeat"


def on_scaled(state: str, on: str) -> str:
    """The `on` of numbers before or after scaling, on these images."""
    return f"{SCALED}{state}, {on}"


SCALED_TEST = tuple(on_scaled(state, TEST) for state in (BEFORE, *STATES))


def scaled_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame, positive: str | None, subject: str
) -> list[Estimate]:
    """The numbers before and after scaling: out of fold, where each fold is scaled by the others, and on the test set.

    The test set is scaled by what was fitted on all out-of-fold predictions; its labels are used for nothing.
    """
    frames = {BEFORE: (out_of_fold, test)}
    found: list[Estimate] = []
    for state, shifted in STATES.items():
        fitted = _fitted(out_of_fold, shifted)
        frames[state] = (_cross_fitted(out_of_fold, shifted), _scaled(test, fitted))
        found += _numbers_of(fitted, state, arrays(out_of_fold)[0], subject)
    for state, (validated, tested) in frames.items():
        for on, frame in ((OUT_OF_FOLD, validated), (TEST, tested)):
            estimates = [*_measured(frame, positive, subject, on_scaled(state, on))]
            method = {"method": CROSS_FITTED} if on == OUT_OF_FOLD and state != BEFORE else {}
            found += [e.model_copy(update=method if e.method is None else {}) for e in estimates]
    return found


def _fitted(frame: pd.DataFrame, shifted: bool) -> Scaling:
    """The scaling of these predictions, of all repeats together."""
    _, probabilities, labels = arrays(frame)
    return fitted_scaling(probabilities, labels, shifted)


def _scaled(frame: pd.DataFrame, scaling: Scaling) -> pd.DataFrame:
    classes, probabilities, _ = arrays(frame)
    found = scaling.of(probabilities)
    return frame.assign(**{f"prob_{name}": found[:, index] for index, name in enumerate(classes)})


def _cross_fitted(frame: pd.DataFrame, shifted: bool) -> pd.DataFrame:
    """The predictions of each fold, scaled by what was fitted on the other folds of its repeat."""
    parts = []
    for _, repeat in frame.groupby("repeat") if "repeat" in frame else [(0, frame)]:
        for fold, part in repeat.groupby("fold"):
            parts.append(_scaled(part, _fitted(repeat[repeat["fold"] != fold], shifted)))
    return pd.concat(parts)


def _numbers_of(scaling: Scaling, state: str, classes: Sequence[str], subject: str) -> Iterator[Estimate]:
    """What was fitted: the temperature, and the shift of each class where there is one."""
    yield Estimate(subject=subject, on=FITTED, metric=state, value=scaling.temperature)
    if STATES[state]:
        for name, value in zip(classes, scaling.shift, strict=True):
            yield Estimate(subject=subject, on=FITTED, metric="class shift", of_class=name, value=float(value))


def _measured(frame: pd.DataFrame, positive: str | None, subject: str, on: str) -> Iterator[Estimate]:
    """The measures of these predictions, with intervals over patients; the means over the repeats."""
    parts = by_repeat(frame)
    each = [_losses(*arrays(part), positive) for part in parts]
    scores = [
        Estimate(
            subject=subject, on=on, metric=name, value=float(np.mean([losses[name] for losses in each])),
            n=len(parts[0]), repeats=len(parts),
        )
        for name in each[0]
    ]  # fmt: skip
    yield from with_bootstrap(scores, parts, positive)
    if positive is not None and len(arrays(frame)[0]) == 2:
        found = recalibration_estimates(frame, positive, subject, on)
        yield from (e.model_copy(update={"on": on}) for e in found if e.metric in MEASURES)


def _losses(
    classes: list[str], probabilities: Probabilities, labels: Labels, positive: str | None
) -> Mapping[str, float]:
    return {
        "loss": log_loss(probabilities, labels),
        "brier": brier(probabilities, labels, classes.index(positive) if positive else None),
        "ece": expected_calibration_error(probabilities, labels),
    }
