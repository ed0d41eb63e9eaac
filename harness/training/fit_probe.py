"""Fits a probe to cached features in one go, and scores it as every head is scored."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from harness.data.inner_split import InnerSplit
from harness.data.resampling import Resampled
from harness.models.heads import bare
from harness.models.linear_models import Vectors
from harness.models.probes import ProbeHead
from harness.stats.metrics import log_loss
from harness.training.fit_history import FitHistory, Fitted
from harness.training.loaders import Loader, parts_of
from harness.training.predict import predict, predict_sets
from harness.training.task import FitJob


def fit_probe(
    head: nn.Module, loader: Loader, job: FitJob, inner: InnerSplit, trial: Resampled | None = None
) -> Fitted:
    """Fit a probe to the training rows. The history is one epoch: it learns in one go.

    head: the probe, or one whose predictions are corrected.
    trial: what it learns from while it chooses, where synthetic images were made from that side of the inner split.
    """
    task, batch_size = job.task, job.settings.batch_size
    device, probe = task.labels.device, bare(head)
    assert isinstance(probe, ProbeHead)
    with torch.no_grad():
        everything, kept, held = _vectors(loader, job, inner, trial)
        chosen = probe.to(everything.features.device).fit(everything, kept, held)
    head.to(device)
    history = FitHistory(job)
    on_train = predict(head, loader, inner.rows, batch_size).repeat(inner.counts, axis=0)
    true = inner.labels.repeat(inner.counts)
    metrics = {
        "train/loss": log_loss(on_train, true),
        "train/accuracy": float((on_train.argmax(axis=1) == true).mean()),
    }
    metrics |= history.select(1, predict_sets(head, loader, task, batch_size))
    history.add(1, metrics)
    return replace(history.fitted, chosen=chosen)


def _vectors(
    loader: Loader, job: FitJob, inner: InnerSplit, trial: Resampled | None
) -> tuple[Vectors, Vectors, Vectors]:
    """The vectors of all training images, of those to learn from while choosing, and of those held out."""
    task, device = job.task, job.task.labels.device
    where = torch.device("cpu") if device.type == "mps" else device  # Apple's GPUs have no float64
    features = torch.cat([*loader(parts_of(inner.rows, job.settings.batch_size))]).to(where)
    images = Vectors(features, *(torch.from_numpy(array).to(where) for array in (inner.labels, inner.counts)))
    held_out = torch.from_numpy(inner.held_out).to(where)
    kept, held = images.where(~held_out), images.where(held_out)
    if trial is None:
        return images, kept, held
    rows, counts = np.unique(trial.rows, return_counts=True)
    kept = images.where(torch.from_numpy(np.searchsorted(inner.rows, rows)).to(where))
    kept = replace(kept, counts=torch.from_numpy(counts).to(where)).joined(trial.vectors, trial.labels)
    return images.joined(task.synthetic, task.synthetic_labels), kept, held
