"""Epoch checkpoints of a long fit: whole or absent, the last two stored, and never used where a byte has changed."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from harness.stats.metrics import Probabilities
from harness.store.failpoints import failpoint
from harness.store.files import write_atomic
from harness.store.results import Metrics
from harness.training.learner import Learner
from harness.training.optimizer_state import restore_state, state_of

SECONDS_BETWEEN = 60.0  # checkpoints, where `every` gives no number of epochs
MAX_FILES = 2  # of a job


class Selected(NamedTuple):
    """The selected epoch so far."""

    epoch: int  # from 1
    metrics: Metrics
    probabilities: Probabilities  # [n, classes]
    further: Mapping[str, Probabilities] = MappingProxyType({})  # of further test sets, which are asked at the end


@dataclass
class JobProgress:
    """How far the fit of a job is. sums: of the probabilities of the networks whose mean predicts, by set of images."""

    epochs: list[Metrics] = field(default_factory=list)
    selected: Selected | None = None
    sums: dict[str, Probabilities] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one job, files `<epoch>-<SHA-256 of the content>.safetensors` in `folder`.

    every: in epochs; None: each epoch that ends a minute or more after the last checkpoint.
    about: what the numbers depend on besides the job, such as the device; a checkpoint made otherwise is not used.
    """

    def __init__(self, folder: Path | None, every: int | None, about: Mapping[str, str]) -> None:
        self._folder, self._every, self._about = folder, every, dict(about)
        self._begun = self._last = time.monotonic()
        self.earlier_seconds = 0.0  # of the epochs before the checkpoint that was loaded

    def load(self, learner: Learner, names: Sequence[str]) -> list[JobProgress]:
        """Restore the learner, and return how far the jobs of these names are, of which it may have more."""
        for path in sorted(self._folder.glob("*.safetensors"), reverse=True) if self._folder else []:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.stem.partition("-")[2]:
                continue
            try:
                header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
                about, progress = json.loads(header["about"]), json.loads(header["progress"])
                tensors = safetensors.torch.load(content)
            except (ValueError, KeyError, TypeError, SafetensorError):  # nothing that `save` wrote
                continue
            if about == self._about and {*names} <= progress.get("jobs", {}).keys():  # else of an earlier version
                self.earlier_seconds = progress["seconds"]
                _restore(tensors, progress, learner)
                return [_progress(name, progress["jobs"][name], tensors) for name in names]
        return [JobProgress() for _ in names]

    def save(self, learner: Learner, jobs: Mapping[str, JobProgress]) -> None:
        """Write the state after an epoch, if a checkpoint is due. jobs: how far each is, by its name."""
        epoch, now = len(next(iter(jobs.values())).epochs), time.monotonic()
        due = epoch % self._every == 0 if self._every else now - self._last >= SECONDS_BETWEEN
        if self._folder is None or not due:
            return
        try:
            optimizer, tensors = state_of(learner.optimizer)
        except TypeError:  # without all of its state a fit would not go on bit for bit; so it starts from the beginning
            return
        tensors |= _tensors(learner) | _predictions(jobs)
        seconds = self.earlier_seconds + now - self._begun
        done = {name: [job.epochs, job.selected and job.selected[:2]] for name, job in jobs.items()}
        progress = {"jobs": done, "seconds": seconds, "optimizer": optimizer}
        if learner.stopping:
            progress["stopping"] = [learner.stopping.epoch, learner.stopping.score]
        content = safetensors.torch.save(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            {"about": json.dumps(self._about), "progress": json.dumps(progress)},
        )
        failpoint("checkpoint.save")
        write_atomic(self._folder / f"{epoch:06d}-{hashlib.sha256(content).hexdigest()}.safetensors", content)
        failpoint("checkpoint.saved")
        for old in sorted(self._folder.glob("*.safetensors"))[:-MAX_FILES]:
            old.unlink()
        self._last = time.monotonic()


def _tensors(learner: Learner) -> dict[str, Tensor]:
    """The model, the average of its weights, and the model of the best epoch, by name."""
    tensors = {f"model.{name}": value for name, value in learner.model.state_dict().items()}
    averages = learner.average.tensors if learner.average else []
    best = learner.stopping.model if learner.stopping else {}
    tensors |= {f"average.{index}": value for index, value in enumerate(averages)}
    return tensors | {f"best.{name}": value for name, value in best.items()}


def _predictions(jobs: Mapping[str, JobProgress]) -> dict[str, Tensor]:
    """The probabilities of the selected epoch of each job, and the sums of those that it averages."""
    found = {f"selected.{name}": job.selected.probabilities for name, job in jobs.items() if job.selected}
    found |= {f"sum.{name}.{images}": total for name, job in jobs.items() for images, total in job.sums.items()}
    return {name: torch.from_numpy(probabilities) for name, probabilities in found.items()}


def _progress(name: str, done: Sequence[Any], tensors: dict[str, Tensor]) -> JobProgress:
    """How far the job of this name was. done: the metrics of its epochs; the selected epoch with its metrics."""
    epochs, selected = done
    chosen = selected and Selected(selected[0], selected[1], tensors[f"selected.{name}"].numpy())
    return JobProgress(
        epochs, chosen, {images: total.numpy() for images, total in _under(f"sum.{name}.", tensors).items()}
    )


def _restore(tensors: dict[str, Tensor], progress: dict[str, Any], learner: Learner) -> None:
    learner.model.load_state_dict(_under("model.", tensors))
    for number, average in enumerate(learner.average.tensors if learner.average else []):
        average.copy_(tensors[f"average.{number}"])
    if learner.stopping:
        learner.stopping.epoch, learner.stopping.score = progress["stopping"]
        learner.stopping.model = _under("best.", tensors)
    restore_state(learner.optimizer, progress["optimizer"], tensors)


def _under(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin like this, by the rest of the name."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
