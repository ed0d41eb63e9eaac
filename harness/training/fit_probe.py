"""Fits a probe to cached features in one go, and scores it as every head is scored."""

from dataclasses import replace

import torch

from harness.data.inner_split import InnerSplit
from harness.models.linear_models import Vectors
from harness.models.probes import ProbeHead
from harness.stats.metrics import log_loss
from harness.training.fit import FitHistory, Fitted, predict, predict_further
from harness.training.loaders import Loader, parts_of
from harness.training.task import FitJob


def fit_probe(probe: ProbeHead, loader: Loader, job: FitJob, inner: InnerSplit) -> Fitted:
    """Fit the probe to the training rows. The history is one epoch: it learns in one go."""
    task, batch_size = job.task, job.settings.batch_size
    device = task.labels.device
    where = torch.device("cpu") if device.type == "mps" else device  # Apple's GPUs have no float64
    arrays = (inner.labels, inner.counts, inner.held_out)
    with torch.no_grad():
        features = torch.cat([*loader(parts_of(inner.rows, batch_size))]).to(where)
        labels, counts, held_out = (torch.from_numpy(array).to(where) for array in arrays)
        chosen = probe.to(where).fit(Vectors(features, labels, counts), held_out)
    probe.to(device)
    history = FitHistory(job)
    on_train = predict(probe, loader, inner.rows, batch_size).repeat(inner.counts, axis=0)
    true = inner.labels.repeat(inner.counts)
    metrics = {
        "train/loss": log_loss(on_train, true),
        "train/accuracy": float((on_train.argmax(axis=1) == true).mean()),
    }
    metrics |= history.select(1, predict(probe, loader, task.evaluate, batch_size))
    history.add(1, metrics)
    job.on_epoch(1, metrics)
    return replace(history.fitted, chosen=chosen, further=predict_further(probe, loader, task, batch_size))
