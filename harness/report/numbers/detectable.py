"""The differences that a study's protocol resolves, in one line, before anything is trained."""

import math
from collections.abc import Sequence

from harness.data.inputs import Inputs
from harness.data.units import chosen_unit, unit_dataset
from harness.stats import ALPHA
from harness.stats.power import POWER, half_width, images_for, resolved_in_sd
from harness.study import Study
from harness.study.contests import pairs
from harness.study.settings import level_text

DISCORDANT_SHARE = 0.05  # of images that two scenarios classify differently: an assumption of the forecast
POINTS = (1, 2, 5)
RATE = 0.9  # of an accuracy whose interval is forecast: an assumption
MAX_REPEATS = 20  # that a forecast names


def resolution(study: Study, inputs: Inputs) -> str:
    """The line about the differences that the folds resolve with the usual power, and about the test set's interval."""
    unit = chosen_unit(study, inputs.dataset)
    k, folds = inputs.k, len(inputs.folds)
    most = pairs(max(stage.size for stage in study.stages))
    share = min(settings.train_share for _, settings in study.settings())
    ratio = 1 / ((k - 1) * share)
    line = (
        f"resolution at {POWER:.0%} power: a true mean difference from {resolved_in_sd(folds, ratio):.2f} SD of its"
        f" {folds} folds"
    )
    if most > 1:
        line += f", the strictest of {most} pairs from {resolved_in_sd(folds, ratio, ALPHA / most):.2f} SD"
    if share < 1:
        line += f", of fits on {level_text(share)} of the training images"
    dataset = unit_dataset(inputs.dataset, unit)
    images = len(dataset.rows("train")) / k
    sd = math.sqrt(DISCORDANT_SHARE / images)
    needed = [_repeats(points / 100 / sd, k, ratio) for points in POINTS]
    return (
        f"{line}. If two scenarios classify {DISCORDANT_SHARE:.0%} of the {unit.plural} of a fold differently, an SD is"
        f" about {100 * sd:.1f} points of accuracy; then one comparison takes {_listed(needed)} repeats to resolve"
        f" {_listed(POINTS)} points.{_interval(len(dataset.rows('test')), unit.plural)}"
    )


def _interval(tested: int, plural: str) -> str:
    """The forecast of the interval of a test accuracy, and what others would take; empty without a test set."""
    if not tested:
        return ""
    half, needed = 100 * half_width(RATE, tested), [f"{images_for(RATE, points / 100):,}" for points in POINTS]
    return (
        f" On {tested:,} test {plural} an accuracy of {RATE} has a 95 % interval of ± {half:.1f} points;"
        f" ± {_listed(POINTS)} take {_listed(needed)} {plural}, more where these are not independent"
    )


def _listed(values: Sequence[object]) -> str:
    """`1, 2 or 5`; once what all are."""
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if {*first} != {last} else last


def _repeats(sds: float, k: int, val_to_train: float) -> str:
    """The fewest repeats of k folds that resolve a difference of so many SDs."""
    for repeats in range(1, MAX_REPEATS + 1):
        if resolved_in_sd(repeats * k, val_to_train) <= sds:
            return str(repeats)
    return f"more than {MAX_REPEATS}"
