"""What a short probe says of a network on a machine, and where a store keeps it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from harness.plan import digest
from harness.settings import CLASSIFIERS, Settings
from harness.store import Store, write_atomic

SHAPING = ("backbone", "trainable", "image_size", "batch_size", "precision", "augment")  # settings that decide a cost
HEADS_TOO = ("head", "dropout")  # and these, where the head is all that is trained


@dataclass(frozen=True)
class Probe:
    """Seconds an image, bytes, and what they were measured on."""

    network: str  # in words
    train: float  # an image in a training step; of the head alone where the backbone is frozen
    score: float  # an image scored
    extract: float  # an image through a frozen backbone, once for all fits; else 0
    memory: int  # the process's peak, or the GPU's
    feature_bytes: int  # kept of each image by a frozen backbone
    images: int  # random ones, in the epoch that was timed
    machine: str
    device: str
    day: str


def probe_key(settings: Settings) -> str | None:
    """What tells the probes of a study apart; None for a model that is not trained by gradients."""
    if settings.backbone in CLASSIFIERS:
        return None
    return digest(
        [getattr(settings, name) for name in (*SHAPING, *(HEADS_TOO if settings.trainable == "head" else ()))]
    )


def load_probes(store: Store) -> dict[str, Probe]:
    """The probes that were taken in this store."""
    path = store.cache / "probes.json"
    return (
        {key: Probe(**values) for key, values in json.loads(path.read_text(encoding="utf-8")).items()}
        if path.exists()
        else {}
    )


def save_probes(store: Store, probes: Mapping[str, Probe]) -> None:
    """Keeps probes beside those that were taken before."""
    every = load_probes(store) | dict(probes)
    write_atomic(
        store.cache / "probes.json", json.dumps({key: asdict(value) for key, value in every.items()}, indent=1).encode()
    )
