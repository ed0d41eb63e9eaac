"""Epoch checkpoints of a long fit: whole or absent, the last two stored, and never used where a byte has changed."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
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


class Checkpoints:
    """The checkpoints of one job, files `<epoch>-<SHA-256 of the content>.safetensors` in `folder`.

    every: in epochs; None: each epoch that ends a minute or more after the last checkpoint.
    about: what the numbers depend on besides the job, such as the device; a checkpoint made otherwise is not used.
    """

    def __init__(self, folder: Path | None, every: int | None, about: Mapping[str, str]) -> None:
        self._folder, self._every, self._about = folder, every, dict(about)
        self._begun = self._last = time.monotonic()
        self.earlier_seconds = 0.0  # of the epochs before the checkpoint that was loaded

    def load(self, learner: Learner) -> tuple[list[Metrics], Selected | None]:
        """Restore the learner, and return the metrics of the epochs done and the one selected among them."""
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
            if about == self._about and "optimizer" in progress:  # else it is of an earlier version
                self.earlier_seconds = progress.get("seconds", 0.0)
                return _restore(tensors, progress, learner)
        return [], None

    def save(self, learner: Learner, history: list[Metrics], selected: Selected | None) -> None:
        """Write the state after the last epoch of `history`, if a checkpoint is due."""
        epoch, now = len(history), time.monotonic()
        due = epoch % self._every == 0 if self._every else now - self._last >= SECONDS_BETWEEN
        if self._folder is None or not due:
            return
        try:
            optimizer, tensors = state_of(learner.optimizer)
        except TypeError:  # without all of its state a fit would not go on bit for bit; so it begins anew
            return
        tensors |= _tensors(learner)
        seconds = self.earlier_seconds + now - self._begun
        chosen = selected and [selected.epoch, selected.metrics]
        progress = {"history": history, "selected": chosen, "seconds": seconds, "optimizer": optimizer}
        if learner.stopping:
            progress["stopping"] = [learner.stopping.epoch, learner.stopping.score]
        if selected:
            tensors["probabilities"] = torch.from_numpy(selected.probabilities)
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


def _restore(
    tensors: dict[str, Tensor], progress: dict[str, Any], learner: Learner
) -> tuple[list[Metrics], Selected | None]:
    learner.model.load_state_dict(_under("model.", tensors))
    for number, average in enumerate(learner.average.tensors if learner.average else []):
        average.copy_(tensors[f"average.{number}"])
    if learner.stopping:
        learner.stopping.epoch, learner.stopping.score = progress["stopping"]
        learner.stopping.model = _under("best.", tensors)
    restore_state(learner.optimizer, progress["optimizer"], tensors)
    selected = progress["selected"]
    if not selected:
        return progress["history"], None
    return progress["history"], Selected(selected[0], selected[1], tensors["probabilities"].numpy())


def _under(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin like this, by the rest of the name."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
