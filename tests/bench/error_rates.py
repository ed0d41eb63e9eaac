"""How often the harness's statistics are wrong: simulations through its own functions. Prints a table in Markdown.

    python -m tests.bench.error_rates [--times N] [--out DIR]

What is true is known in a simulation: whether scenarios differ, and by how much. The values of folds are normal, with
the correlation that overlapping training sets give by the correction of Nadeau and Bengio: 1 / k. A fold's SD is half
a point of accuracy, as on the real X-rays. Images of a patient are alike: three quarters of a score are the patient's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats import ALPHA
from harness.stats.best_of import best_of
from harness.stats.bootstrap import average
from harness.stats.fitted_models import accuracy_difference, area_difference
from harness.stats.power import resolved_in_sd
from harness.study.contests import Contest, pairs
from harness.study.stage import Select, Stage
from harness.study.state import StageState
from tests.bench.simulated import show_simulated
from tests.stats.test_null import scenario

SD = 0.005  # of a fold
IMAGES = 1700  # of a fold
SCENARIOS = 8


@dataclass(frozen=True)
class Folds:
    """A protocol."""

    k: int
    repeats: int = 1

    def __str__(self) -> str:
        return f"{self.k} folds x {self.repeats}"

    def values(self, means: Sequence[float], rng: np.random.Generator) -> NDArray[np.float64]:
        """The values [scenarios, folds] of scenarios with these true means."""
        rho, shape = 1 / self.k, (len(means), self.k * self.repeats)
        shared, own = rng.normal(size=(shape[0], 1)), rng.normal(size=shape)
        found: NDArray[np.float64] = np.array(means)[:, None] + SD * (np.sqrt(rho / (1 - rho)) * shared + own)
        return found

    def stage(self, means: Sequence[float], rng: np.random.Generator) -> StageState:
        """A finished stage of scenarios with these true means, by `rule: cheapest-equivalent`; the last is cheapest."""
        values = self.values(means, rng).tolist()
        images = [IMAGES] * (self.k * self.repeats)
        states = [scenario(number, row, images, "val/accuracy", self.k) for number, row in enumerate(values)]
        return StageState(Stage(name="s", select=Select(rule="cheapest-equivalent")), tuple(states))


PROTOCOLS = (Folds(3), Folds(5), Folds(3, 5), Folds(5, 5))


@dataclass(frozen=True)
class Rate:
    """How often something was said. wanted: what its rate should be."""

    what: str
    where: str
    share: float
    wanted: str


def verdicts(folds: Folds, scenarios: int, times: int) -> Iterator[Rate]:
    """What is said of equal scenarios."""
    rng = np.random.default_rng([folds.k, folds.repeats, scenarios])
    found = [folds.stage([0.95] * scenarios, rng).contests for _ in range(times)]
    where = f"{scenarios} equal scenarios, {folds}"
    yield Rate("some scenario is called worse", where, _any(found, lambda c: c.resolved), "<= 0.05")
    yield Rate("the same, practically", where, _any(found, lambda c: c.practical == "better"), "<= 0.05")


def _any(found: Sequence[Sequence[Contest]], said: Callable[[Contest], bool]) -> float:
    return float(np.mean([any(map(said, each)) for each in found]))


def differences(folds: Folds, difference: float, times: int) -> Iterator[Rate]:
    """What is said of two scenarios with this true difference."""
    rng = np.random.default_rng([folds.k, folds.repeats, round(1e4 * difference)])
    found = [folds.stage([0.95, 0.95 - difference], rng).contests[0] for _ in range(times)]
    where = f"2 scenarios, {100 * difference:g} points apart, {folds}"
    matters = difference > Select().margin
    equivalent = np.mean([c.practical == "equivalent" for c in found])
    yield Rate("equivalent within a point", where, float(equivalent), "<= 0.05" if matters else "high")
    if matters:
        worse = np.mean([c.practical == "better" for c in found])
        yield Rate("practically worse", where, float(worse), "high")


def cheapest(folds: Folds, times: int) -> Iterator[Rate]:
    """Whether the cheapest of eight is selected although it is three points below the others."""
    rng = np.random.default_rng([folds.k, folds.repeats, 3])
    means = [*[0.95] * (SCENARIOS - 1), 0.92]
    states = [folds.stage(means, rng) for _ in range(times)]
    where = f"{SCENARIOS} scenarios, the cheapest 3 points below, {folds}"
    chosen = np.mean([state.best is state.scenarios[-1] for state in states])
    yield Rate("cheapest-equivalent selects it", where, float(chosen), "<= 0.05")
    before = np.mean([not state.contests[-1].resolved for state in states])
    yield Rate("(not told from the best, the rule of before)", where, float(before), "-")


def power(folds: Folds, scenarios: int, times: int) -> Iterator[Rate]:
    """Whether the difference that `plan` names is found, of one scenario below others that are equal."""
    rng = np.random.default_rng([folds.k, folds.repeats, scenarios, 4])
    alpha = ALPHA / pairs(scenarios)
    apart = resolved_in_sd(folds.k * folds.repeats, 1 / (folds.k - 1), alpha) * SD * np.sqrt(2)
    means = [*[0.95] * (scenarios - 1), 0.95 - apart]
    found = [folds.stage(means, rng).contests[-1] for _ in range(times)]
    hit = np.mean([c.resolved and c.other.name == f"s{scenarios - 1}" for c in found])
    yield Rate("the difference that plan names is found", f"{scenarios} scenarios, {folds}", float(hit), ">= 0.80")


def fitted_models(patients: int, images: int, times: int) -> Iterator[Rate]:
    """How often two equally good fitted models differ on test images, p < 0.05: over patients, and over images."""
    ps = np.array([_ps_of_fitted(np.random.default_rng([patients, images, n]), patients, images) for n in range(times)])
    where = f"{patients} patients x {images} images"
    for what, share in zip(("accuracy", "ROC AUC"), (ps[:, :2] < 0.05).mean(axis=0), strict=True):
        yield Rate(f"equal fitted models differ in {what}", where, float(share), "0.05")
    yield Rate("(by DeLong's test over images)", where, float((ps[:, 2] < 0.05).mean()), "-")


def _ps_of_fitted(rng: np.random.Generator, patients: int, images: int) -> tuple[float, float, float]:
    clusters = np.repeat(np.arange(patients), images)
    positive = rng.random(len(clusters)) < np.repeat(rng.choice([0.1, 0.9], patients), images)
    of_patients = np.sqrt(3) * rng.normal(size=(2, patients))[:, clusters]
    first, second = 2 * positive + of_patients + rng.normal(size=(2, len(clusters)))
    each = np.arange(len(clusters))
    return (
        accuracy_difference((first > 1) == positive, (second > 1) == positive, clusters).p,
        area_difference(first, second, positive, clusters).p,
        area_difference(first, second, positive, each).p,
    )


def chosen(scenarios: int, times: int) -> Iterator[Rate]:
    """By how much the best of equal scenarios (accuracy 0.8, 200 patients) is above what it is, and corrected."""
    own, corrected = [], []
    for number in range(times):
        rng = np.random.default_rng([scenarios, number])
        right = (rng.random((scenarios, 200)) < 0.8).astype(float)
        own.append(right.mean(axis=1).max() - 0.8)
        corrected.append(best_of(np.arange(200), list(map(average, right)), True).value - 0.8)
    where = f"best of {scenarios} equal scenarios"
    yield Rate("optimism of its own mean", where, float(np.mean(own)), "-")
    yield Rate("optimism of BBC-CV", where, float(np.mean(corrected)), "0")


def rates(times: int) -> Iterator[Rate]:
    """All rates, each of so many simulations."""
    for folds in PROTOCOLS:
        for scenarios in (2, SCENARIOS, 40):
            yield from verdicts(folds, scenarios, times)
    for folds in PROTOCOLS:
        for difference in (0.0, 0.015, 0.03):
            yield from differences(folds, difference, times)
    for folds in PROTOCOLS:
        yield from cheapest(folds, times)
        for scenarios in (2, SCENARIOS):
            yield from power(folds, scenarios, times)
    for patients, images in ((300, 1), (100, 4), (30, 10)):
        yield from fitted_models(patients, images, times)
    for scenarios in (SCENARIOS, 40):
        yield from chosen(scenarios, max(1, times // 10))


def table(found: Sequence[Rate]) -> str:
    """The rates in Markdown."""
    lines = ["| what | where | rate | wanted |", "|---|---|---:|---:|"]
    return "\n".join(lines + [f"| {r.what} | {r.where} | {r.share:.3f} | {r.wanted} |" for r in found])


if __name__ == "__main__":
    show_simulated(
        "How often the statistics of the harness are wrong.", lambda times: table(list(rates(times))), "error-rates.md"
    )
