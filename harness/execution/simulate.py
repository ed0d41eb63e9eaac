"""Simulates a study on more devices: the real schedule, fed with recorded durations in place of fits."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.execution.durations import durations
from harness.execution.schedule import CostEstimate, Schedule
from harness.study.plan import Batch, Job, batches
from harness.study.state import StageState

DEVICES = (1, 8, 64, 512)


@dataclass(frozen=True)
class Simulated:
    """The seconds from the start of the first job to the end of the last, and lower bounds for any schedule."""

    devices: int
    makespan: float
    sum_bound: float  # sum / devices
    longest: float  # job

    @property
    def bound(self) -> float:
        return max(self.sum_bound, self.longest)


def simulations(states: Sequence[StageState]) -> list[tuple[str, int, list[Simulated]]]:
    """For each known stage: its name, the number of its jobs, and their simulation on DEVICES.

    Unfinished jobs are assumed to take as long as the most similar finished ones. Raises HarnessError where none is.
    """
    seconds = durations(states)
    if not seconds:
        raise HarnessError("--simulate replays recorded durations, but no job is done yet; first: harness run STUDY")
    found = []
    for state in states:
        jobs = [job for scenario in state.scenarios for job in scenario.jobs]
        if jobs:
            grouped = batches(jobs)
            found.append((state.stage.name, len(jobs), [simulate(grouped, seconds, seconds, n) for n in DEVICES]))
    return found


def simulate(
    batches: Iterable[Batch], seconds: Callable[[Job], float], estimate: CostEstimate, devices: int
) -> Simulated:
    """Simulate jobs that take `seconds`, scheduled by `estimate` as an executor would, on so many devices."""
    schedule = Schedule(batches, estimate)
    free = [(0.0, device) for device in range(devices)]  # a heap: when, which
    total = longest = makespan = 0.0
    while schedule:
        now, device = heapq.heappop(free)
        taken = schedule.take(device)
        assert taken is not None
        took = sum(map(seconds, taken))
        total, longest, makespan = total + took, max(longest, took), max(makespan, now + took)
        heapq.heappush(free, (now + took, device))
    return Simulated(devices, makespan, total / devices, longest)
