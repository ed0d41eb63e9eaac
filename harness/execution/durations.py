"""Estimates of how long jobs take, from the durations of finished ones, so that the longest start first."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from statistics import mean

from harness.store.results import FoldRecord
from harness.study.plan import Job
from harness.study.state import StageState


class Durations:
    """Returns the seconds of a job: recorded, else by the most similar recorded jobs, else its number of epochs."""

    def __init__(self, records: Iterable[tuple[Job, FoldRecord]]) -> None:
        self._recorded: dict[str, float] = {}
        rates: dict[Hashable, list[float]] = defaultdict(list)
        for job, record in records:
            seconds = self._recorded[job.id] = record.facts.seconds
            for key in _similarity_keys(job):
                rates[key].append(seconds / _work(job))
        self._per_epoch = {key: mean(values) for key, values in rates.items()}

    def __bool__(self) -> bool:
        return bool(self._recorded)

    def __call__(self, job: Job) -> float:
        rate = next((self._per_epoch[key] for key in _similarity_keys(job) if key in self._per_epoch), 1.0)
        return self._recorded.get(job.id, rate * _work(job))


def durations(states: Iterable[StageState]) -> Durations:
    """The durations from the finished jobs of a study."""
    scenarios = [scenario for state in states for scenario in state.scenarios]
    return Durations((job, s.records[job.id]) for s in scenarios for job in s.jobs if job.id in s.records)


def _work(job: Job) -> float:
    """The epochs of a job, in epochs of whole folds."""
    return job.scenario.settings.epochs * job.scenario.settings.train_share


def _similarity_keys(job: Job) -> Iterator[Hashable]:
    """Keys that a job shares with jobs of similar duration per epoch, the most specific first."""
    s = job.scenario.settings
    network = (s.backbone, s.trainable, s.image_size)
    yield (*network, s.head, s.oversampling)
    yield (*network, s.head)
    yield network
    yield None
