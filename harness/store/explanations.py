"""Stored Grad-CAM maps of a test job, for the report and MLflow, without torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.store.files import new_folder
from harness.store.store import Store


@dataclass(frozen=True)
class Explanations:
    """A sample of test images and where the model looked. `maps` are [n, h, w], from 0 to 1; words are [n]."""

    rows: NDArray[np.int64]  # of the manifest
    maps: NDArray[np.float32]
    true: NDArray[np.str_]
    called: NDArray[np.str_]
    probability: NDArray[np.float64]  # of the called class

    def save(self, path: Path) -> None:
        """Writes the file, whole."""
        with new_folder(path.parent) as folder:
            part = folder / path.name
            np.savez_compressed(part, **vars(self))
            part.replace(path)

    @staticmethod
    def load(path: Path) -> "Explanations | None":
        """What the file holds; None where there is none."""
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as stored:
            return Explanations(**{name: stored[name] for name in stored.files})


def explanations_file(store: Store, job_id: str) -> Path:
    """Where the maps of a job are kept."""
    return store.root / "explanations" / f"{job_id}.npz"


def explanations_log(store: Store, job_id: str) -> Path:
    """Where it is kept why there are none."""
    return explanations_file(store, job_id).with_suffix(".txt")


def unregistered_log(store: Store, job_id: str) -> Path:
    """Where it is kept why the model of a job is not registered."""
    return store.root / "explanations" / f"{job_id}-model.txt"
