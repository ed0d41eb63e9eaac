"""The smallest differences that a study's protocol can detect, in one line, before anything is trained."""

from harness.data.inputs import Inputs
from harness.data.units import chosen_unit, unit_dataset
from harness.stats import ALPHA
from harness.stats.power import detectable_by_mcnemar, detectable_in_sd
from harness.study import Study
from harness.study.settings import level_text

DISCORDANT_SHARE = 0.05  # of images that two scenarios classify differently: an assumption of the forecast


def resolution(study: Study, inputs: Inputs) -> str:
    """The line about the smallest differences that are significant under this protocol."""
    unit = chosen_unit(study, inputs.dataset)
    k, folds, rows = inputs.k, len(inputs.folds), unit_dataset(inputs.dataset, unit).rows
    most = max(stage.size for stage in study.stages) - 1
    share = min(settings.train_share for _, settings in study.settings())
    ratio = 1 / ((k - 1) * share)
    line = f"resolution: a mean difference counts from {detectable_in_sd(folds, ratio):.2f} SD of its {folds} folds"
    if most > 1:
        line += f", the strictest of {most} comparisons from {detectable_in_sd(folds, ratio, ALPHA / most):.2f} SD"
    if share < 1:
        line += f", of fits on {level_text(share)} of the training images"
    points = []
    for words, split in (("out-of-fold", "train"), ("test", "test")):
        n = len(rows(split))
        surplus = detectable_by_mcnemar(round(DISCORDANT_SHARE * n))
        if n:
            found = f"from {100 * surplus / n:.1f} points" if surplus else "nothing"
            points.append(f"on {n:,} {words} {unit.plural} {found}")
    return (
        f"{line}; two fitted models (which say nothing about their recipes) differ by McNemar's test, if they classify"
        f" {DISCORDANT_SHARE:.0%} of the {unit.plural} differently, {', '.join(points)}"
    )
