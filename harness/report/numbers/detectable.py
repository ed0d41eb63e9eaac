"""What a study's protocol can resolve, in one line, before anything is trained."""

from harness.prepare import Inputs
from harness.stats import ALPHA
from harness.stats.power import detectable_by_mcnemar, detectable_in_sd
from harness.study import Study

DISCORDANT = 0.05  # the share of images that two scenarios judge differently, for the plan's forecast


def resolution(study: Study, inputs: Inputs) -> str:
    """One line: the smallest differences that this protocol can call significant."""
    k, folds, rows = study.folds.k, len(inputs.folds), inputs.dataset.rows
    most = max(stage.size for stage in study.stages) - 1
    line = (
        f"resolution: a mean difference counts from {detectable_in_sd(folds, 1 / (k - 1)):.2f} SD of its {folds} folds"
    )
    if most > 1:
        line += (
            f", the strictest of {most} comparisons from {detectable_in_sd(folds, 1 / (k - 1), ALPHA / most):.2f} SD"
        )
    points = []
    for words, split in (("out-of-fold", "train"), ("test", "test")):
        n = len(rows(split))
        surplus = detectable_by_mcnemar(round(DISCORDANT * n))
        if n:
            found = f"from {100 * surplus / n:.1f} points" if surplus else "nothing"
            points.append(f"on {n:,} {words} images {found}")
    return (
        f"{line}; of two fitted models, which say nothing of their recipes, McNemar's test tells apart, where"
        f" {DISCORDANT:.0%} are judged differently, {', '.join(points)}"
    )
