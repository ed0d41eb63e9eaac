"""The cost of what is left of a study: the probes of its networks, multiplied."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from harness.data.inputs import Inputs, Workspace
from harness.store import Store
from harness.store.files import read_json, write_atomic
from harness.study.identity import digest
from harness.study.plan import Job, features_key
from harness.study.settings import CLASSIFIERS, VIEWS, ResolvedSettings, Settings
from harness.study.state import StudyState

COST_SETTINGS = ("backbone", "trainable", "image_size", "batch_size", "precision", "augment")
HEAD_COST_SETTINGS = ("head", "dropout")  # these too, if only the head is trained


@dataclass(frozen=True)
class Probe:
    """The measured cost of a network: seconds per image, bytes, and the machine."""

    network: str  # in words
    train: float  # seconds per image in a training step; of the head alone if the backbone is frozen
    score: float  # seconds per image scored
    extract: float  # seconds per image through a frozen backbone, once for all fits; else 0
    memory: int  # peak bytes of the process, or of the GPU
    feature_bytes: int  # bytes cached per image by a frozen backbone
    images: int  # random images in the timed epoch
    machine: str
    device: str
    day: str


def probe_key(settings: Settings) -> str | None:
    """The key of a probe: the settings that decide the cost. None for a model that is not trained by gradients."""
    if settings.backbone in CLASSIFIERS or settings.is_probe:
        return None
    return digest(
        [
            getattr(settings, name)
            for name in (*COST_SETTINGS, *(HEAD_COST_SETTINGS if settings.trainable == "head" else ()))
        ]
    )


def load_probes(store: Store) -> dict[str, Probe]:
    """The probes that are stored here."""
    stored = read_json(store.cache / "probes.json") or {}
    return {key: Probe(**values) for key, values in stored.items()}


def save_probes(store: Store, probes: Mapping[str, Probe]) -> None:
    """Store probes together with earlier ones."""
    every = load_probes(store) | dict(probes)
    write_atomic(
        store.cache / "probes.json", json.dumps({key: asdict(value) for key, value in every.items()}, indent=1).encode()
    )


@dataclass(frozen=True)
class NetworkCost:
    """The cost of the missing fits of one network."""

    probe: Probe
    fits: int
    epochs: int  # of all fits
    seconds: float  # of all fits
    extraction: float  # seconds, once before the first fit on a frozen backbone
    images: int  # of training and test, whose features are cached then


@dataclass(frozen=True)
class Costs:
    """The cost of the known fits that are not done; stages that wait for a winner are not included."""

    networks: list[NetworkCost]
    unknown: int  # fits of networks that were not probed
    pixel_bytes: int  # gray; three times as many where images are coloured

    @property
    def seconds(self) -> float:
        """Seconds, one fit after the other."""
        return sum(cost.seconds + cost.extraction for cost in self.networks)

    @property
    def disk(self) -> int:
        """Bytes on disk: decoded images and cached features."""
        return self.pixel_bytes + sum(cost.probe.feature_bytes * cost.images for cost in self.networks)


def networks(state: StudyState) -> dict[str, ResolvedSettings]:
    """The networks with missing fits: probe key -> settings."""
    missing = [s.settings for s in state.scenarios if not s.finished]
    return {key: settings for settings in missing if (key := probe_key(settings)) is not None}


def take_probes(state: StudyState, store: Store, probe: Callable[[ResolvedSettings], Probe]) -> None:
    """Probe every network that has fits left, and store the results."""
    save_probes(store, {key: probe(settings) for key, settings in networks(state).items()})


def study_costs(workspace: Workspace, state: StudyState) -> Costs | None:
    """The cost of what is left, by the probes in the store; None if there are none."""
    study, inputs, probes = workspace.study, workspace.inputs, load_probes(workspace.store)
    if not probes.keys() & networks(state).keys():
        return None
    waiting: dict[str | None, list[Job]] = defaultdict(list)
    for scenario in state.scenarios:
        key = probe_key(scenario.settings)
        waiting[key if key in probes else None] += scenario.missing
    images = len(inputs.dataset.table)
    seen: set[str | None] = {None}  # features that an earlier network needs too
    costs = [
        _network(inputs, jobs, probes[key], images, seen) for key, jobs in waiting.items() if key is not None and jobs
    ]
    return Costs(costs, len(waiting[None]), sum(images * framing.size**2 for framing in study.framings))


def _network(inputs: Inputs, jobs: list[Job], probe: Probe, images: int, seen: set[str | None]) -> NetworkCost:
    keys = {features_key(job.scenario.settings) for job in jobs} - seen
    seen |= keys
    trainings: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        trainings[job.training].append(job)
    return NetworkCost(
        probe=probe,
        fits=len(jobs),
        epochs=sum(job.scenario.settings.epochs for job in jobs),
        seconds=sum(_seconds(inputs, together, probe) for together in trainings.values()),
        extraction=len(keys) * images * probe.extract,
        images=len(keys) * images,
    )


def _seconds(inputs: Inputs, jobs: Sequence[Job], probe: Probe) -> float:
    """The seconds of a training: every epoch trains on the fold's images, after oversampling, and scores the others.

    jobs: those that share it; images are scored by the views of the one that has most.
    """
    job, views = jobs[0], max(VIEWS[job.scenario.settings.tta] for job in jobs)
    settings = job.scenario.settings
    fold = inputs.fold(job.repeat, job.fold or 0)
    share = {name: round(settings.train_share * count) for name, count in inputs.dataset.counts(fold.train).items()}
    trained = _oversampled(share, settings)
    return settings.epochs * (trained * probe.train + views * len(fold.validation) * probe.score)


def _oversampled(counts: Mapping[str, int], settings: Settings) -> int:
    """The images after resampling; what samplers decide by themselves counts as nothing left out."""
    if settings.oversampling != "none":
        least = round(settings.oversampling_ratio * max(counts.values()))
        counts = {name: max(count, least) for name, count in counts.items()}
    if settings.undersampling in ("random", "near-miss"):
        return len(counts) * min(counts.values())
    return sum(counts.values())
