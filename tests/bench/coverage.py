"""How often 95 % intervals hold what is true: simulations through the harness's own functions, a table in Markdown.

    python -m tests.bench.coverage [--times N] [--out DIR]

Beside the intervals of the harness stand those that it had before: by formula as if each image were of another patient,
and by resampling patients. `of_patients` is how much images of a patient have in common: the correlation of their
being right, or the share of a score's variance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from harness.stats.areas import area_error, area_moves, mean_area
from harness.stats.bootstrap import Statistic, area, average, cluster_bootstrap
from harness.stats.proportions import Interval, clustered_wilson, wilson
from tests.bench.simulated import show_simulated

RESAMPLES = 300
Z = float(ndtri(0.975))


@dataclass(frozen=True)
class Images:
    """So many patients with so many images each."""

    patients: int
    images: int
    of_patients: float = 0.0

    def __str__(self) -> str:
        alike = f", {self.of_patients:g} of patients" if self.images > 1 else ""
        return f"{self.patients} patients x {self.images}{alike}"

    @property
    def clusters(self) -> NDArray[np.int64]:
        """The patient of every image."""
        return np.repeat(np.arange(self.patients), self.images)

    def right(self, rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which images are right, of a model with this true accuracy: each patient has a rate of its own, by beta."""
        if not self.of_patients:
            return rng.random(len(self.clusters)) < rate
        spread = 1 / self.of_patients - 1
        own = rng.beta(rate * spread, (1 - rate) * spread, self.patients)
        found: NDArray[np.bool_] = rng.random(len(self.clusters)) < own[self.clusters]
        return found

    def scores(self, true: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Scores and classes with this true area, half of the patients of each class."""
        positive = self.clusters < self.patients // 2
        shared, own = rng.normal(size=self.patients)[self.clusters], rng.normal(size=len(positive))
        noise = np.sqrt(self.of_patients) * shared + np.sqrt(1 - self.of_patients) * own
        return np.sqrt(2) * ndtri(true) * positive + noise, positive


ACCURACIES = (
    (Images(200, 1), 0.95), (Images(200, 1), 0.99), (Images(100, 4, 0.5), 0.95), (Images(50, 4, 0.5), 0.95),
    (Images(50, 4, 0.5), 0.99), (Images(20, 5, 0.5), 0.95), (Images(20, 5, 0.5), 0.99), (Images(10, 10, 0.5), 0.8),
    (Images(10, 10, 0.5), 0.95),
)  # fmt: skip
AREAS = (
    (Images(40, 1), 0.95), (Images(40, 1), 0.99), (Images(100, 1), 0.95), (Images(100, 1), 0.99),
    (Images(200, 4, 0.5), 0.95), (Images(50, 4, 0.5), 0.95), (Images(50, 4, 0.5), 0.99),
)  # fmt: skip


@dataclass(frozen=True)
class Coverage:
    """How often each interval holds what is true."""

    what: str
    where: str
    now: float
    over_images: float
    resampled: float


def accuracy_coverage(images: Images, rate: float, times: int) -> Coverage:
    """That of the intervals of an accuracy."""
    clusters, found = images.clusters, []
    for number in range(times):
        right = images.right(rate, np.random.default_rng([images.patients, images.images, round(1e4 * rate), number]))
        now = clustered_wilson(right[None], np.ones_like(right)[None], clusters)
        resampled = _resampled(clusters, average(right.astype(np.float64)))
        found.append([_holds(each, rate) for each in (now, wilson(int(right.sum()), len(right)), resampled)])
    return Coverage("accuracy", f"{images}, true {rate:g}", *np.mean(found, axis=0).tolist())


def area_coverage(images: Images, true: float, times: int) -> Coverage:
    """That of the intervals of an area under the ROC curve."""
    clusters, found = images.clusters, []
    for number in range(times):
        rng = np.random.default_rng([images.patients, images.images, round(1e4 * true), number])
        scores, positive = images.scores(true, rng)
        now = mean_area(scores[None], positive, clusters)
        _, moves = area_moves(scores[None], positive)
        half = Z * area_error(moves[0], positive, np.arange(len(positive)))
        by_image = (now.value - half, now.value + half)
        resampled = _resampled(clusters, area(scores, positive))
        found.append([_holds(each, true) for each in ((now.low, now.high), by_image, resampled)])
    return Coverage("ROC AUC", f"{images}, true {true:g}", *np.mean(found, axis=0).tolist())


def _resampled(clusters: NDArray[np.int64], statistic: Statistic) -> Interval:
    return cluster_bootstrap(clusters, [statistic], RESAMPLES)[0]


def _holds(interval: Interval, true: float) -> bool:
    return interval[0] <= true <= interval[1]


def coverages(times: int) -> Iterator[Coverage]:
    """All of them, each of so many simulations."""
    for images, rate in ACCURACIES:
        yield accuracy_coverage(images, rate, times)
    for images, true in AREAS:
        yield area_coverage(images, true, times)


def coverage_table(found: Sequence[Coverage]) -> str:
    """The coverages in Markdown."""
    head = "| 95 % interval of | where | coverage | over images | resampled patients |"
    rows = (f"| {c.what} | {c.where} | {c.now:.3f} | {c.over_images:.3f} | {c.resampled:.3f} |" for c in found)
    return "\n".join([head, "|---|---|---:|---:|---:|", *rows])


if __name__ == "__main__":
    show_simulated(
        "How often the intervals of the harness hold what is true.",
        lambda times: coverage_table(list(coverages(times))),
        "coverage.md",
    )
