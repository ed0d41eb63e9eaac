import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.durations import Durations
from harness.execution.simulate import simulate
from harness.store.results import FoldRecord
from harness.study.plan import Job, Scenario
from harness.study.settings import ResolvedSettings
from tests.conftest import fit_facts
from tests.execution.test_schedule import jobs_of


def test_a_known_plan_has_its_known_makespan() -> None:
    batches, cost_of = jobs_of([[4], [3], [3], [2]])
    found = simulate(batches, lambda job: cost_of[job.id], lambda job: cost_of[job.id], devices=2)
    assert (found.makespan, found.sum_bound, found.longest, found.bound) == (6, 6, 4, 6)  # 4 + 2, 3 + 3


costs = st.lists(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), min_size=1, max_size=12)


@given(costs, st.integers(1, 20), st.booleans())
def test_no_schedule_beats_the_lower_bound_and_ours_is_within_the_longest_job_of_it(
    given_costs: list[list[float]], devices: int, knows: bool
) -> None:
    batches, cost_of = jobs_of(given_costs)
    found = simulate(batches, lambda job: cost_of[job.id], lambda job: cost_of[job.id] if knows else 1.0, devices)
    assert found.makespan >= found.bound * (1 - 1e-9)
    assert found.makespan <= (found.sum_bound + found.longest) * (1 + 1e-9)


def test_one_device_takes_the_sum() -> None:
    batches, cost_of = jobs_of([[1, 2], [3]])
    assert simulate(batches, lambda job: cost_of[job.id], lambda _: 1.0, 1).makespan == 6


def job(name: str, **settings: object) -> Job:
    s = ResolvedSettings.model_validate({"backbone": "resnet50", "image_size": 150, "epochs": 4, **settings})
    return Job(name, Scenario(name, name, s), 0, 0, "val", 0)


def record(seconds: float) -> FoldRecord:
    return FoldRecord("", [], 1, {}, {}, fit_facts(seconds=seconds))


@pytest.mark.parametrize(
    ("like", "seconds"),
    [
        ({}, 8.0),  # 2 seconds an epoch, as its like took
        ({"epochs": 10}, 20.0),
        ({"head": "batchnorm-gap"}, 8.0),
        ({"backbone": "resnet152"}, 12.0),  # nothing is known of it: the mean over all, 3 seconds an epoch
    ],
)
def test_a_job_takes_as_long_for_each_epoch_as_those_most_like_it(like: dict[str, object], seconds: float) -> None:
    known = [(job("a"), record(8.0)), (job("b", backbone="resnet18"), record(16.0))]
    assert Durations(known)(job("new", **like)) == seconds


def test_a_recorded_job_takes_what_it_took_and_without_records_epochs_count() -> None:
    assert Durations([(job("a"), record(8.0)), (job("b"), record(2.0))])(job("a")) == 8.0
    assert Durations([])(job("a", epochs=7)) == 7.0
