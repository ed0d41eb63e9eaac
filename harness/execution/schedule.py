"""The order of jobs: the longest first, and those that share a frozen backbone one after the other."""

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from harness.study.plan import Batch, Job

CostEstimate = Callable[[Job], float]  # the cost of a job, in any unit
Stack = tuple[Job, ...]  # jobs that one worker fits together


def by_epochs(job: Job) -> float:
    """The number of epochs: the estimate when nothing else is known of a job."""
    return float(job.scenario.settings.epochs)


def each_alone(jobs: Iterable[Job]) -> list[Stack]:
    """Every job in a stack of its own."""
    return [(job,) for job in jobs]


@dataclass
class _Waiting:
    """The stacks of one batch that are not taken yet, the longest first, and their total cost."""

    stacks: deque[tuple[Stack, float]]
    cost: float


class Schedule:
    """The waiting jobs, handed out to workers that become free.

    A worker stays with its batch until that is empty, takes the batch with the longest job then, and helps with the
    one that has most left when every batch has started. No worker is idle while a job waits, so that all is done
    within sum / workers + the longest job.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        estimate: CostEstimate,
        group: Callable[[Iterable[Job]], list[Stack]] = each_alone,
    ) -> None:
        self._batch_of: dict[str, str] = {}
        self._waiting: dict[str, _Waiting] = {}  # batches with jobs that wait
        self._untouched: list[tuple[float, int, str]] = []  # a heap
        self._touched: dict[str, None] = {}  # the keys of started batches, in order
        self._batch_at: dict[Hashable, str] = {}  # worker -> its current batch
        self._estimate = estimate
        for order, batch in enumerate(batches):
            stacks = sorted(((stack, self._cost(stack)) for stack in group(batch.jobs)), key=lambda pair: -pair[1])
            self._waiting[batch.key] = _Waiting(deque(stacks), sum(cost for _, cost in stacks))
            self._batch_of.update((job.id, batch.key) for job in batch.jobs)
            heapq.heappush(self._untouched, (-stacks[0][1], order, batch.key))

    def __len__(self) -> int:
        return sum(1 for _ in self.jobs())

    def jobs(self) -> Iterator[Job]:
        """The waiting jobs."""
        return (job for waiting in self._waiting.values() for stack, _ in waiting.stacks for job in stack)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def stacks(self) -> int:
        """The number of waiting stacks."""
        return sum(len(waiting.stacks) for waiting in self._waiting.values())

    def take(self, worker: Hashable) -> Stack | None:
        """Take the next job for this worker, with those that are fitted together with it; None if nothing waits."""
        key = self._batch_at.get(worker)
        if key not in self._waiting:
            key = self._next_batch()
        if key is None:
            return None
        self._batch_at[worker] = key
        waiting = self._waiting[key]
        stack, cost = waiting.stacks.popleft()
        waiting.cost -= cost
        if not waiting.stacks:
            del self._waiting[key]
            self._touched.pop(key, None)
        return stack

    def put_back(self, job: Job) -> None:
        """Put a job back, alone, before all others of its batch."""
        key, cost = self._batch_of[job.id], self._estimate(job)
        waiting = self._waiting.setdefault(key, _Waiting(deque(), 0.0))
        waiting.stacks.appendleft(((job,), cost))
        waiting.cost += cost
        self._touched[key] = None

    def _cost(self, stack: Stack) -> float:
        return sum(map(self._estimate, stack))

    def _next_batch(self) -> str | None:
        if self._untouched:
            key = heapq.heappop(self._untouched)[2]
            self._touched[key] = None
            return key
        return max(self._touched, key=lambda key: self._waiting[key].cost, default=None)
