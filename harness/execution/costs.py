"""The cost of what is left of a study: the probes of its networks, multiplied."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from harness.data.dataset import Rows
from harness.data.inputs import Inputs, Workspace
from harness.execution.ahead import Ahead, fits_ahead
from harness.store import Store
from harness.store.files import read_json, write_atomic
from harness.study.allowed import CLASSIFIERS, VIEWS
from harness.study.identity import digest
from harness.study.plan import Job, features_key
from harness.study.settings import ResolvedSettings, Settings
from harness.study.state import StudyState

COST_SETTINGS = ("backbone", "trainable", "image_size", "batch_size", "precision", "augment")
HEAD_COST_SETTINGS = ("head", "dropout")  # these too, if only the head is trained


@dataclass(frozen=True)
class Probe:
    """The measured cost of a network: seconds per image, bytes, and the machine."""

    network: str  # in words
    train: float  # seconds per image in a training step; of the head alone if the backbone is frozen
    # of a head that learns in one go, per image that it learns from
    score: float  # seconds per image scored
    extract: float  # seconds per image through a frozen backbone, once for all fits; else 0
    memory: int  # peak bytes of the process, or of the GPU
    feature_bytes: int  # bytes cached per image by a frozen backbone
    images: int  # random images in the timed epoch, or fit
    machine: str
    device: str
    day: str


def probe_key(settings: Settings) -> str | None:
    """The key of a probe: the settings that decide the cost. None for a baseline, which no probe times."""
    if settings.backbone in CLASSIFIERS:
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
class CostAhead:
    """The cost of fits that are not planned yet, with the winners that make it largest."""

    name: str  # of a stage that waits, or `test set` and a stage
    choices: int  # that were compared
    fits: int
    seconds: float
    unknown: int  # fits of networks that were not probed


@dataclass(frozen=True)
class Costs:
    """The cost of the fits that are not done: of those that are known, and of those that depend on winners."""

    networks: list[NetworkCost]
    unknown: int  # fits of networks that were not probed
    pixel_bytes: int  # gray; three times as many where images are coloured
    ahead: list[CostAhead]

    @property
    def seconds(self) -> float:
        """Seconds of the known fits, one after the other."""
        return sum(cost.seconds + cost.extraction for cost in self.networks)

    @property
    def fits(self) -> int:
        """The number of fits, whoever wins."""
        return sum(cost.fits for cost in self.networks) + sum(cost.fits for cost in self.ahead) + self.unknown

    @property
    def most_seconds(self) -> float:
        """Seconds of all fits, one after the other, whoever wins: the most that it can be."""
        return self.seconds + sum(cost.seconds for cost in self.ahead)

    @property
    def disk(self) -> int:
        """Bytes on disk: decoded images and cached features."""
        return self.pixel_bytes + sum(cost.probe.feature_bytes * cost.images for cost in self.networks)


def networks(workspace: Workspace, state: StudyState) -> dict[str, ResolvedSettings]:
    """The networks with missing fits, those of fits that depend on winners among them: probe key -> settings."""
    jobs = [job for s in state.scenarios for job in s.missing]
    jobs += [job for ahead in fits_ahead(workspace, state) for choice in ahead.choices for job in choice]
    found = {probe_key(job.scenario.settings): job.scenario.settings for job in reversed(jobs)}
    return {key: settings for key, settings in reversed(found.items()) if key is not None}


def take_probes(workspace: Workspace, state: StudyState, probe: Callable[[ResolvedSettings], Probe]) -> None:
    """Probe every network that has fits left, and store the results."""
    found = networks(workspace, state)
    save_probes(workspace.store, {key: probe(settings) for key, settings in found.items()})


def study_costs(workspace: Workspace, state: StudyState) -> Costs | None:
    """The cost of what is left, by the probes in the store; None if there are none."""
    study, inputs, probes = workspace.study, workspace.inputs, load_probes(workspace.store)
    if not probes.keys() & networks(workspace, state).keys():
        return None
    jobs = [job for scenario in state.scenarios for job in scenario.missing]
    counted = _Counted(jobs={job.id for job in jobs})
    known, unknown = _cost(inputs, jobs, probes, counted.features)
    ahead = [_widest(each, probes, counted) for each in fits_ahead(workspace, state)]
    pixels = sum(len(inputs.dataset.table) * framing.size**2 for framing in study.framings)
    return Costs(known, unknown, pixels, ahead)


@dataclass
class _Counted:
    """What earlier costs include already: fits, and features that are extracted once."""

    jobs: set[str]
    features: set[str] = field(default_factory=set)


def _widest(ahead: Ahead, probes: Mapping[str, Probe], counted: _Counted) -> CostAhead:
    """The cost of the most expensive choice; that with most fits where their networks were not probed."""
    found: list[tuple[CostAhead, list[Job], set[str]]] = []
    for choice in ahead.choices:
        jobs, features = [job for job in choice if job.id not in counted.jobs], set(counted.features)
        costs, unknown = _cost(ahead.inputs, jobs, probes, features)
        seconds = sum(cost.seconds + cost.extraction for cost in costs)
        found.append((CostAhead(ahead.name, len(ahead.choices), len(jobs), seconds, unknown), jobs, features))
    widest, jobs, features = max(found, key=lambda each: (each[0].seconds, each[0].unknown))
    counted.jobs |= {job.id for job in jobs}
    counted.features |= features
    return widest


def _cost(
    inputs: Inputs, jobs: Sequence[Job], probes: Mapping[str, Probe], seen: set[str]
) -> tuple[list[NetworkCost], int]:
    """The cost of these jobs by network, and the number of those that were not probed.

    seen: the features that were extracted before; those of these jobs join.
    """
    waiting: dict[str | None, list[Job]] = defaultdict(list)
    for job in jobs:
        key = probe_key(job.scenario.settings)
        waiting[key if key in probes else None].append(job)
    unknown = len(waiting.pop(None, []))
    return [_network(inputs, found, probes[key], seen) for key, found in waiting.items() if key is not None], unknown


def _network(inputs: Inputs, jobs: list[Job], probe: Probe, seen: set[str]) -> NetworkCost:
    images = len(inputs.dataset.table)
    keys = {key for job in jobs if (key := features_key(job.scenario.settings)) is not None} - seen
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
    """The seconds of a training: every epoch trains on its images, after oversampling, and scores the others.

    A test set is scored after the last epoch alone. jobs: those that share the training; images are scored by the
    views of the one that has most.
    """
    job, views = jobs[0], max(VIEWS[job.scenario.settings.tta] for job in jobs)
    settings = job.scenario.settings
    training, scored = _images(inputs, job)
    share = {name: round(settings.train_share * count) for name, count in inputs.dataset.counts(training).items()}
    trained = _oversampled(share, settings)
    scorings = settings.epochs if job.evaluate == "val" else 1
    return settings.epochs * trained * probe.train + scorings * views * len(scored) * probe.score


def _images(inputs: Inputs, job: Job) -> tuple[Rows, Rows]:
    """The rows of the images that a fit learns from, and of those that it scores."""
    dataset = inputs.dataset
    if job.fold is None:
        return dataset.rows("train"), dataset.rows(job.evaluate)
    fold = inputs.fold(job.repeat, job.fold)
    return fold.train, fold.validation if job.evaluate == "val" else dataset.rows(job.evaluate)


def _oversampled(counts: Mapping[str, int], settings: Settings) -> int:
    """The images after resampling; what samplers decide by themselves counts as nothing left out."""
    if settings.oversampling != "none":
        least = round(settings.oversampling_ratio * max(counts.values()))
        counts = {name: max(count, least) for name, count in counts.items()}
    if settings.undersampling in ("random", "near-miss"):
        return len(counts) * min(counts.values())
    return sum(counts.values())
