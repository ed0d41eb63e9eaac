"""Stored Grad-CAM maps of a test job, for the report and MLflow, without torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.store.files import new_folder
from harness.store.seals import FILE_SEAL, seal_file
from harness.store.store import Store

GRAD_CAM_WARNING = "no Grad-CAM"  # starts the line that says why it failed


@dataclass(frozen=True)
class Explanations:
    """The Grad-CAM maps of a sample of test images."""

    rows: NDArray[np.int64]  # [n], of the manifest
    maps: NDArray[np.float32]  # [n, h, w], from 0 to 1
    true: NDArray[np.str_]  # [n]
    called: NDArray[np.str_]  # [n], the predicted class; the name is that of the file
    probability: NDArray[np.float64]  # [n], of the predicted class

    def save(self, path: Path) -> None:
        """Write the file atomically, and its seal."""
        path.with_name(path.name + FILE_SEAL).unlink(missing_ok=True)  # of an older file
        with new_folder(path.parent) as folder:
            part = folder / path.name
            np.savez_compressed(part, **vars(self))
            part.replace(path)
        seal_file(path)

    @staticmethod
    def load(path: Path) -> "Explanations | None":
        """Read the file; None where there is none."""
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as stored:
            return Explanations(**{name: stored[name] for name in stored.files})


def explanations_file(store: Store, job_id: str) -> Path:
    """The file with the maps of a job."""
    return store.root / "explanations" / f"{job_id}.npz"


def explanations_log(store: Store, job_id: str) -> Path:
    """The file that says why a job has no maps."""
    return explanations_file(store, job_id).with_suffix(".txt")


def unregistered_log(store: Store, job_id: str) -> Path:
    """The file that says why the model of a job is not registered."""
    return store.root / "explanations" / f"{job_id}-model.txt"
