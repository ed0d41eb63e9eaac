from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.execution.schedule import Schedule
from harness.study.plan import Batch, Job, Scenario
from harness.study.settings import ResolvedSettings

SCENARIO = Scenario("s", "s", ResolvedSettings(backbone="test_resnet", image_size=32))


def jobs_of(costs: list[list[float]]) -> tuple[list[Batch], dict[str, float]]:
    """Batches with jobs of these costs."""
    cost_of = {f"{b}-{j}": cost for b, batch in enumerate(costs) for j, cost in enumerate(batch)}
    batches = [
        Batch(str(b), tuple(Job(f"{b}-{j}", SCENARIO, 0, j, "val", 0) for j in range(len(batch))))
        for b, batch in enumerate(costs)
    ]
    return batches, cost_of


def taken(schedule: Schedule, *workers: int) -> list[str | None]:
    return [stack[0].id if (stack := schedule.take(worker)) else None for worker in workers]


def schedule_of(costs: list[list[float]]) -> Schedule:
    batches, cost_of = jobs_of(costs)
    return Schedule(batches, lambda job: cost_of[job.id])


def test_the_longest_job_comes_first() -> None:
    assert taken(schedule_of([[1], [5], [3]]), 0, 1, 0, 1) == ["1-0", "2-0", "0-0", None]


def test_a_worker_stays_with_its_batch() -> None:
    assert taken(schedule_of([[2, 4], [3, 1]]), 0, 1, 0, 1, 0) == ["0-1", "1-0", "0-0", "1-1", None]


def test_a_free_worker_helps_where_most_is_left() -> None:
    schedule = schedule_of([[9], [5, 5, 5], [4, 1]])
    assert taken(schedule, 0, 1, 2) == ["0-0", "1-0", "2-0"]
    assert taken(schedule, 0, 0, 0) == ["1-1", "1-2", "2-1"]


def test_a_job_that_is_put_back_is_taken_again_before_the_others_of_its_batch() -> None:
    batches, cost_of = jobs_of([[3, 2, 1]])
    schedule = Schedule(batches, lambda job: cost_of[job.id])
    first = schedule.take(0)
    assert first is not None
    schedule.put_back(*first)
    assert taken(schedule, 1, 1, 0, 0) == ["0-0", "0-1", "0-2", None]
    schedule.put_back(*first)
    assert bool(schedule)
    assert taken(schedule, 5, 5) == ["0-0", None]


costs = st.lists(st.lists(st.floats(0, 100), min_size=1, max_size=8), max_size=12)


@given(costs, st.integers(1, 5), st.data())
def test_every_job_is_handed_out_exactly_once_however_often_it_is_put_back(
    given_costs: list[list[float]], workers: int, data: st.DataObject
) -> None:
    batches, cost_of = jobs_of(given_costs)
    schedule = Schedule(batches, lambda job: cost_of[job.id])
    assert len(schedule) == len(cost_of)
    done: list[str] = []
    while schedule:
        stack = schedule.take(data.draw(st.integers(0, workers - 1)))
        assert stack is not None, "a job waits, but none is handed out"
        (job,) = stack
        if data.draw(st.integers(0, 4)) == 0:
            schedule.put_back(job)
        else:
            done.append(job.id)
    assert sorted(done) == sorted(cost_of)
    assert len(schedule) == 0
    assert schedule.take(0) is None


@pytest.mark.parametrize("batches", [[], [[1.0]]])
def test_the_length_is_what_waits(batches: list[list[float]]) -> None:
    assert len(schedule_of(batches)) == len(batches)


@given(costs, st.integers(2, 4))
def test_stacks_are_handed_out_whole_the_costliest_first(given_costs: list[list[float]], size: int) -> None:
    batches, cost_of = jobs_of(given_costs)

    def in_groups(jobs: Iterable[Job]) -> list[tuple[Job, ...]]:
        every = list(jobs)
        return [tuple(every[at : at + size]) for at in range(0, len(every), size)]

    schedule = Schedule(batches, lambda job: cost_of[job.id], in_groups)
    expected = {stack for batch in batches for stack in in_groups(batch.jobs)}
    by_batch: dict[str, list[float]] = {}
    while (stack := schedule.take(0)) is not None:
        expected.remove(stack)
        by_batch.setdefault(stack[0].id.partition("-")[0], []).append(sum(cost_of[job.id] for job in stack))
    assert not expected
    assert all(costs == sorted(costs, reverse=True) for costs in by_batch.values())


def test_a_job_that_is_put_back_comes_again_alone() -> None:
    batches, cost_of = jobs_of([[3, 2, 1]])
    schedule = Schedule(batches, lambda job: cost_of[job.id], lambda jobs: [tuple(jobs)])
    stack = schedule.take(0)
    assert stack is not None and len(stack) == 3
    for job in stack:
        schedule.put_back(job)
    assert sorted(taken(schedule, 0, 1, 0)) == ["0-0", "0-1", "0-2"]  # type: ignore[type-var]
