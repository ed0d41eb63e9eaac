"""How often 95 % intervals hold what is true: simulations through the harness's own functions, a table in Markdown.

    python -m tests.bench.coverage [--times N] [--out DIR]

Beside the intervals of the harness stand those that it had before: by formula as if each image were of another patient,
and by resampling patients. `of_patients` is how much images of a patient have in common: the correlation of their
being right, or the share of a score's variance.
A second table is about one more model by the same recipe: the interval from several refits, beside that of the first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from harness.stats.area_within_folds import FoldScores, area_of_folds, area_within_folds
from harness.stats.areas import Area, area_error, area_moves
from harness.stats.bootstrap import Statistic, area, average, cluster_bootstrap
from harness.stats.one_more_model import one_more
from harness.stats.proportions import Interval, clustered_wilson, wilson
from tests.bench.simulated import show_simulated

RESAMPLES = 300
FOLDS = 5
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

    def right_of_models(self, rates: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which images models with these true accuracies are right on, [models, n].

        Half of what makes one hard is the image's, which all models share, and of that a part the patient's.
        """
        of_image = rng.normal(size=len(self.clusters))
        of_patient = rng.normal(size=self.patients)[self.clusters]
        hard = np.sqrt(self.of_patients) * of_patient + np.sqrt(1 - self.of_patients) * of_image
        own = rng.normal(size=(len(rates), len(hard)))
        found: NDArray[np.bool_] = np.sqrt(0.5) * (hard + own) < ndtri(rates)[:, None]
        return found


ACCURACIES = (
    (Images(200, 1), 0.95), (Images(200, 1), 0.99), (Images(100, 4, 0.5), 0.95), (Images(50, 4, 0.5), 0.95),
    (Images(50, 4, 0.5), 0.99), (Images(20, 5, 0.5), 0.95), (Images(20, 5, 0.5), 0.99), (Images(10, 10, 0.5), 0.8),
    (Images(10, 10, 0.5), 0.95),
)  # fmt: skip
AREAS = (
    (Images(40, 1), 0.95), (Images(40, 1), 0.99), (Images(100, 1), 0.95), (Images(100, 1), 0.99),
    (Images(200, 4, 0.5), 0.95), (Images(50, 4, 0.5), 0.95), (Images(50, 4, 0.5), 0.99),
)  # fmt: skip
FOLD_AREAS = ((Images(200, 1), 0.95), (Images(200, 1), 0.99), (Images(200, 4, 0.5), 0.95), (Images(100, 4, 0.5), 0.99))
REFITS = tuple(
    (images, rate, sd, refits)
    for images, rate, sd in ((Images(200, 1), 0.9, 0.0), (Images(200, 1), 0.9, 0.05), (Images(100, 4, 0.5), 0.85, 0.05))
    for refits in (2, 3, 5, 10)
)


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


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Area:
    """The area of one model on all images, as reports have it of a test set."""
    found = area_within_folds([FoldScores(np.arange(len(scores)), scores)], positive, clusters)
    assert found is not None
    return found


def area_coverage(images: Images, true: float, times: int) -> Coverage:
    """That of the intervals of an area under the ROC curve."""
    clusters, found = images.clusters, []
    for number in range(times):
        rng = np.random.default_rng([images.patients, images.images, round(1e4 * true), number])
        scores, positive = images.scores(true, rng)
        now = _area(scores, positive, clusters)
        _, moves = area_moves(scores[None], positive)
        half = Z * area_error(moves[0], positive, np.arange(len(positive)))
        by_image = (now.value - half, now.value + half)
        resampled = _resampled(clusters, area(scores, positive))
        found.append([_holds(each, true) for each in ((now.low, now.high), by_image, resampled)])
    return Coverage("ROC AUC", f"{images}, true {true:g}", *np.mean(found, axis=0).tolist())


def fold_area_coverage(images: Images, true: float, times: int) -> Coverage:
    """That of the intervals of an area within folds, where each fold's model has a scale of its own.

    Beside them those of the area of all scores in one order, over patients, as if one model had given them.
    """
    clusters, found = images.clusters, []
    fold = np.arange(images.patients)[clusters] % FOLDS
    rows = [np.flatnonzero(fold == number) for number in range(FOLDS)]
    for number in range(times):
        rng = np.random.default_rng([images.patients, images.images, round(1e4 * true), FOLDS, number])
        scores, positive = images.scores(true, rng)
        scores += rng.normal(size=FOLDS)[fold]
        folds = [FoldScores(each, scores[each]) for each in rows]
        now, together = area_within_folds(folds, positive, clusters), _area(scores, positive, clusters)
        assert now is not None
        resampled = _resampled(clusters, area_of_folds(folds, positive))
        found.append([_holds(each, true) for each in ((now.low, now.high), (together.low, together.high), resampled)])
    where = f"{images}, true {true:g}, {FOLDS} folds"
    return Coverage("ROC AUC within folds", where, *np.mean(found, axis=0).tolist())


@dataclass(frozen=True)
class OneMore:
    """How often intervals hold the true accuracy of one more model, and how wide those of the harness are."""

    where: str
    refits: int
    now: float
    width: float
    of_first: float


def one_more_coverage(images: Images, rate: float, sd: float, refits: int, times: int) -> OneMore:
    """That of the interval of so many refits, whose true accuracies have this SD."""
    found, spread = [], sd / (np.exp(-(ndtri(rate) ** 2) / 2) / np.sqrt(2 * np.pi))  # on the probit scale
    for number in range(times):
        rng = np.random.default_rng([images.patients, round(1e4 * rate), round(1e4 * sd), refits, number])
        rates = ndtr(ndtri(rate) * np.sqrt(1 + spread**2) + spread * rng.normal(size=refits + 1))
        right = images.right_of_models(rates[:-1], rng)
        every, first = (clustered_wilson(r, np.ones_like(r), images.clusters) for r in (right, right[:1]))
        low, high = one_more(every, right.mean(axis=1).tolist())
        low, high = max(low, 0), min(high, 1)
        found.append([low <= rates[-1] <= high, high - low, _holds(first, rates[-1])])
    now, width, of_first = np.mean(found, axis=0).tolist()
    return OneMore(f"{images}, true {rate:g}, SD {sd:g}", refits, now, width, of_first)


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
    for images, true in FOLD_AREAS:
        yield fold_area_coverage(images, true, times)


def coverage_table(found: Sequence[Coverage]) -> str:
    """The coverages in Markdown."""
    head = "| 95 % interval of | where | coverage | over images | resampled patients |"
    rows = (f"| {c.what} | {c.where} | {c.now:.3f} | {c.over_images:.3f} | {c.resampled:.3f} |" for c in found)
    return "\n".join([head, "|---|---|---:|---:|---:|", *rows])


def one_more_table(found: Sequence[OneMore]) -> str:
    """The coverages for one more model in Markdown."""
    head = "| where, SD of the true accuracies over seeds | refits | coverage | mean width | interval of refit 1 |"
    rows = (f"| {c.where} | {c.refits} | {c.now:.3f} | {c.width:.2f} | {c.of_first:.3f} |" for c in found)
    return "\n".join([head, "|---|---:|---:|---:|---:|", *rows])


def tables(times: int) -> str:
    """Both tables, each row of so many simulations."""
    of_refits = one_more_table([one_more_coverage(*row, times) for row in REFITS])
    return f"{coverage_table(list(coverages(times)))}\n\n{of_refits}"


if __name__ == "__main__":
    show_simulated(
        "How often the intervals of the harness hold what is true.",
        tables,
        "coverage.md",
    )
