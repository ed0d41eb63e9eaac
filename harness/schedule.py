"""Which job comes next: the longest first, and those that share a frozen backbone one after the other."""

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from harness.plan import Batch, Job

Estimate = Callable[[Job], float]  # what a job costs, in any unit


def by_epochs(job: Job) -> float:
    """The number of its epochs, where nothing else is known of a job."""
    return float(job.scenario.settings.epochs)


@dataclass
class _Waiting:
    """The jobs of one batch that nobody has taken, the longest first, and what they cost together."""

    jobs: deque[tuple[Job, float]]
    cost: float


class Schedule:
    """The jobs that wait, handed out to workers that become free.

    A worker stays with its batch until that is empty, takes the batch with the longest job then, and helps with the
    one that has most left when every batch has begun. No worker is idle while a job waits, so that all is done
    within sum / workers + the longest job.
    """

    def __init__(self, batches: Iterable[Batch], estimate: Estimate) -> None:
        self._batch_of: dict[str, str] = {}
        self._waiting: dict[str, _Waiting] = {}  # batches with jobs that wait
        self._untouched: list[tuple[float, int, str]] = []  # a heap
        self._touched: dict[str, None] = {}  # the keys of those begun, in order
        self._at: dict[Hashable, str] = {}  # worker -> the batch that it is at
        self._estimate = estimate
        for order, batch in enumerate(batches):
            jobs = sorted(((job, estimate(job)) for job in batch.jobs), key=lambda pair: -pair[1])
            self._waiting[batch.key] = _Waiting(deque(jobs), sum(cost for _, cost in jobs))
            self._batch_of.update((job.id, batch.key) for job in batch.jobs)
            heapq.heappush(self._untouched, (-jobs[0][1], order, batch.key))

    def __len__(self) -> int:
        return sum(len(waiting.jobs) for waiting in self._waiting.values())

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self, worker: Hashable) -> Job | None:
        """The next job for this worker; None where nothing waits."""
        key = self._at.get(worker)
        if key not in self._waiting:
            key = self._next_batch()
        if key is None:
            return None
        self._at[worker] = key
        waiting = self._waiting[key]
        job, cost = waiting.jobs.popleft()
        waiting.cost -= cost
        if not waiting.jobs:
            del self._waiting[key]
            self._touched.pop(key, None)
        return job

    def put_back(self, job: Job) -> None:
        """Lets a job wait again, before all others of its batch."""
        key, cost = self._batch_of[job.id], self._estimate(job)
        waiting = self._waiting.setdefault(key, _Waiting(deque(), 0.0))
        waiting.jobs.appendleft((job, cost))
        waiting.cost += cost
        self._touched[key] = None

    def _next_batch(self) -> str | None:
        if self._untouched:
            key = heapq.heappop(self._untouched)[2]
            self._touched[key] = None
            return key
        return max(self._touched, key=lambda key: self._waiting[key].cost, default=None)
