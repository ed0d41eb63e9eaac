"""Estimates of how long jobs take, from the durations of finished ones, so that the longest start first."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from statistics import mean

from harness.store.results import FoldRecord
from harness.study.plan import Job
from harness.study.state import StageState


class Durations:
    """Gives the seconds of a job: as recorded, or per epoch as the most similar recorded jobs took, or its epochs."""

    def __init__(self, records: Iterable[tuple[Job, FoldRecord]]) -> None:
        self._recorded: dict[str, float] = {}
        rates: dict[Hashable, list[float]] = defaultdict(list)
        for job, record in records:
            seconds = self._recorded[job.id] = record.facts.seconds
            for likeness in _likenesses(job):
                rates[likeness].append(seconds / job.scenario.settings.epochs)
        self._per_epoch = {likeness: mean(values) for likeness, values in rates.items()}

    def __bool__(self) -> bool:
        return bool(self._recorded)

    def __call__(self, job: Job) -> float:
        rate = next((self._per_epoch[like] for like in _likenesses(job) if like in self._per_epoch), 1.0)
        return self._recorded.get(job.id, rate * job.scenario.settings.epochs)


def durations(states: Iterable[StageState]) -> Durations:
    """What is known from the finished jobs of a study."""
    scenarios = [scenario for state in states for scenario in state.scenarios]
    return Durations((job, s.records[job.id]) for s in scenarios for job in s.jobs if job.id in s.records)


def _likenesses(job: Job) -> Iterator[Hashable]:
    """What a job shares with others that take as long per epoch, the closest first."""
    s = job.scenario.settings
    network = (s.backbone, s.trainable, s.image_size)
    yield (*network, s.head, s.oversampling)
    yield (*network, s.head)
    yield network
    yield None
