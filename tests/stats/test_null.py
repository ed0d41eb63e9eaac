"""Equal scenarios through the harness's own verdict: how often chance alone is called a difference."""

from collections.abc import Sequence

import numpy as np
import pytest

from harness.store.results import FoldRecord
from harness.study.contests import least_step
from harness.study.plan import Job, Scenario
from harness.study.scenario_state import ScenarioState
from harness.study.settings import ResolvedSettings
from harness.study.stage import Select, Stage
from harness.study.state import StageState
from tests.conftest import fit_facts

STAGES = 200
ACCURACY = 0.95


def scenario(
    number: int, values: Sequence[float], images: Sequence[int], metric: str, k: int | None = None
) -> ScenarioState:
    """A finished scenario with these values in folds of so many validation images, a quarter of them of class A.

    k: the folds of a repeat. Later scenarios have fewer parameters.
    """
    name, total = f"s{number}", sum(images)
    of = Scenario(name, name, ResolvedSettings(backbone="test_resnet", image_size=32))
    folds = k or len(values)
    jobs = tuple(Job(f"{name}-{n}", of, n // folds, n % folds, "val", 0) for n in range(len(values)))
    facts = fit_facts(parameters=1000 - number)
    records = {}
    for job, value, left_out in zip(jobs, values, images, strict=True):
        few = (total - left_out) // 4
        before = {"A": few, "B": total - left_out - few}
        records[job.id] = FoldRecord(job.id, [], 1, {metric: value}, {"before": before, "after": before}, facts)
    return ScenarioState(of, jobs, records)


def stage(values: np.ndarray, images: Sequence[int], metric: str = "val/accuracy") -> StageState:
    """A finished stage; values: [scenarios, folds]."""
    states = [scenario(number, row, images, metric) for number, row in enumerate(values.tolist())]
    return StageState(Stage(name="s", select=Select.model_validate({"metric": metric})), tuple(states))


def share_with_a_verdict(k: int, n: int, spare: int) -> float:
    """Of stages of eight equal scenarios, those in which one is called worse; every other fold has `spare` more."""
    rng = np.random.default_rng([k, n, spare])
    images = [n + spare * (fold % 2) for fold in range(k)]
    drawn = rng.binomial(images, ACCURACY, (STAGES, 8, k)) / images
    return float(np.mean([any(c.resolved for c in stage(values, images).contests) for values in drawn]))


@pytest.mark.parametrize("spare", [0, 1])
@pytest.mark.parametrize(("k", "n"), [(2, 20), (2, 40), (2, 160), (3, 20), (3, 40), (3, 160)])
def test_equal_scenarios_are_hardly_ever_called_worse(k: int, n: int, spare: int) -> None:
    """With p = 0 for equal differences it was 0.6 of the stages for k = 2 and 40 images, 0.4 for 160 and 161 images."""
    assert share_with_a_verdict(k, n, spare) <= 0.05


@pytest.mark.parametrize("spare", [0, 1])
def test_a_true_difference_is_still_found(spare: int) -> None:
    images = [160, 160 + spare, 160]
    drawn = np.random.default_rng(8).binomial(images, [[0.95], [0.6]], (STAGES, 2, 3)) / images
    found = [c.resolved for values in drawn for c in stage(values, images).contests]
    assert np.mean(found) > 0.8


@pytest.mark.parametrize(
    ("metric", "step"),
    [
        ("val/accuracy", 1 / 40),
        ("val/balanced_accuracy", 1 / 40),
        ("val/roc_auc", 1 / (10 * 30)),
        ("val/loss", 0),
        ("val/brier", 0),
    ],
)
def test_the_least_step_is_an_image_a_pair_of_images_or_nothing(metric: str, step: float) -> None:
    assert least_step(scenario(0, [0.5] * 3, [40] * 3, metric), metric) == pytest.approx(step)


def test_losses_are_tested_however_small_their_spread() -> None:
    (contest,) = stage(np.array([[0.3, 0.4, 0.5], [0.301, 0.4011, 0.501]]), [40] * 3, "val/loss").contests
    assert contest.resolved
    (contest,) = stage(np.array([[0.3, 0.4, 0.5], [0.31, 0.41, 0.51]]), [40] * 3, "val/loss").contests
    assert (contest.test.p, contest.resolved) == (1.0, False)


def test_areas_that_differ_by_the_same_pairs_in_folds_of_different_sizes_resolve_nothing() -> None:
    images = [40, 44]  # 10 x 30 and 11 x 33 pairs
    values = 1 - np.array([[0 / 300, 0 / 363], [2 / 300, 2 / 363]])
    (contest,) = stage(values, images, "val/roc_auc").contests
    assert contest.test.p == 1.0
