"""How often the interval of a nested selection holds what is true, by simulation through the harness's own functions.

    python -m tests.bench.nested_coverage [--times N] [--out DIR]

A stage of scenarios is fitted on folds, and again within the rest of each outer fold; what it selects there predicts
the outer fold. Each fit has a true accuracy of its own, around that of its scenario. Beside the nested interval stands
that of the mean of the scenario that the whole stage selects, which chance has helped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.numbers.fold_numbers import FOLD_RESAMPLES, mean_over_folds, metric_of
from harness.stats.bootstrap import cluster_bootstrap
from harness.stats.proportions import Interval
from tests.bench.coverage import Images
from tests.bench.simulated import show_simulated
from tests.stats.test_null import stage

OUTER, INNER = 5, 3
FIT_SD = 0.02  # of the true accuracies of the fits of a scenario


@dataclass(frozen=True)
class Nested:
    """The images, and the true accuracies of the scenarios of a stage."""

    images: Images
    rates: tuple[float, ...]

    def __str__(self) -> str:
        low, high = min(self.rates), max(self.rates)
        equal = f"equal scenarios of {low:g}" if low == high else f"scenarios of {low:g} to {high:g}"
        return f"{len(self.rates)} {equal}, {self.images}"


def _spread(count: int, low: float, high: float) -> tuple[float, ...]:
    return tuple(np.round(np.linspace(low, high, count), 4).tolist())


ONE_EACH, FOUR_EACH, FEW = Images(200, 1), Images(100, 4, 0.5), Images(50, 4, 0.5)
CASES = (
    Nested(ONE_EACH, (0.85,) * 8), Nested(FOUR_EACH, (0.85,) * 8), Nested(FEW, (0.85,) * 8),
    Nested(ONE_EACH, (0.85,) * 40), Nested(FOUR_EACH, (0.85,) * 40),
    Nested(ONE_EACH, _spread(8, 0.78, 0.85)), Nested(FOUR_EACH, _spread(8, 0.78, 0.85)),
)  # fmt: skip


@dataclass(frozen=True)
class NestedCoverage:
    """How often intervals hold the truth, and how far above it their values are on average, in points.

    fits, own_fits: of the mean true accuracy of the very fits that were scored, of the nested selection and of the best
    scenario; procedure, own_procedure: of the accuracy that such a selection has on average.
    """

    where: str
    fits: float
    procedure: float
    optimism: float
    own_fits: float
    own_procedure: float
    own_optimism: float


@dataclass(frozen=True)
class Scored:
    """The mean over outer folds of one fit for each of them: its value, its interval, and the fits' true mean."""

    value: float
    interval: Interval
    true: float


def nested_coverage(case: Nested, times: int) -> NestedCoverage:
    """That of the intervals of a stage that is selected from, nested and not."""
    rngs = (np.random.default_rng([len(case.rates), case.images.patients, number]) for number in range(times))
    found = [_simulated(case, rng) for rng in rngs]
    procedure = float(np.mean([nested.true for nested, _ in found]))  # what is selected has this accuracy on average
    columns: list[float] = []
    for side in (0, 1):
        each = [pair[side] for pair in found]
        columns.append(float(np.mean([_holds(s.interval, s.true) for s in each])))
        columns.append(float(np.mean([_holds(s.interval, procedure) for s in each])))
        columns.append(100 * (float(np.mean([s.value for s in each])) - procedure))
    return NestedCoverage(str(case), *columns)


def _simulated(case: Nested, rng: np.random.Generator) -> tuple[Scored, Scored]:
    """One study: its nested selection, and the best scenario of the whole stage on the same outer folds."""
    count, clusters = len(case.rates), case.images.clusters
    outer = np.arange(case.images.patients)[clusters] % OUTER
    inner = (np.arange(case.images.patients)[clusters] // OUTER) % INNER
    means = np.array(case.rates)[:, None, None]
    true = np.clip(means + FIT_SD * rng.normal(size=(count, OUTER, 1 + INNER)), 0.01, 0.99)
    right = case.images.right_of_models(true.ravel(), rng).reshape(count, OUTER, 1 + INNER, -1)  # first the outer fits
    apart = [[(outer != fold) & (inner == number) for number in range(INNER)] for fold in range(OUTER)]
    chosen = [_selected(right[:, fold, 1:], apart[fold]) for fold in range(OUTER)]
    best = _selected(right[:, :, 0], [outer == fold for fold in range(OUTER)])
    fits, rates, folds = right[:, :, 0], true[:, :, 0], np.arange(OUTER)
    nested, own = (
        _scored(fits[each, outer, np.arange(len(outer))], float(rates[of, folds].mean()), outer, clusters)
        for of, each in ((np.array(c), np.array(c)[outer]) for c in (chosen, [best] * OUTER))
    )
    return nested, own


def _selected(right: NDArray[np.bool_], folds: Sequence[NDArray[np.bool_]]) -> int:
    """The number of the scenario that a stage selects. right: [scenarios, folds, n]. folds: the rows of each, [n]."""
    values = np.array([right[:, fold, rows].mean(axis=1) for fold, rows in enumerate(folds)]).T
    best = stage(values, [int(rows.sum()) for rows in folds]).best
    assert best is not None
    return int(best.name.removeprefix("s"))


def _scored(right: NDArray[np.bool_], true: float, outer: NDArray[np.int64], patients: NDArray[np.int64]) -> Scored:
    """The mean over the outer folds, with the interval that a report gives it. right, outer, patients: [n]."""
    frame = pd.DataFrame({"image": np.arange(len(right)), "label": "A", "repeat": 0, "fold": outer})
    frame = frame.assign(prob_A=np.where(right, 0.9, 0.1), prob_B=np.where(right, 0.1, 0.9))
    mean = mean_over_folds(frame, pd.Index(frame["image"]), metric_of("accuracy", None))
    assert mean is not None
    value = float(mean(np.ones((1, len(right))))[0])
    return Scored(value, cluster_bootstrap(patients, [mean], FOLD_RESAMPLES)[0], true)


def _holds(interval: Interval, true: float) -> bool:
    return interval[0] <= true <= interval[1]


def nested_table(found: Sequence[NestedCoverage]) -> str:
    """The coverages in Markdown."""
    columns = ("where", "of these fits", "of the selection", "optimism", "own mean: of its fits", "of the selection")
    head = f"| {' | '.join((*columns, 'optimism'))} |"
    rows = (
        f"| {c.where} | {c.fits:.3f} | {c.procedure:.3f} | {c.optimism:.1f} | {c.own_fits:.3f} | {c.own_procedure:.3f}"
        f" | {c.own_optimism:.1f} |"
        for c in found
    )
    return "\n".join([head, "|---|---:|---:|---:|---:|---:|---:|", *rows])


if __name__ == "__main__":
    show_simulated(
        "How often the interval of a nested selection holds what is true.",
        lambda times: nested_table([nested_coverage(case, times) for case in CASES]),
        "nested-coverage.md",
    )
