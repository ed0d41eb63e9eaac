"""Fits a baseline that learns without gradients, in one go, and scores it as every network is scored."""

import torch

from harness.models.baselines import Baseline
from harness.stats.metrics import log_loss
from harness.study.identity import derive_seed
from harness.training.fit_history import FitHistory, Fitted
from harness.training.loaders import Loader, parts_of
from harness.training.predict import predict, predict_sets
from harness.training.task import FitJob


def fit_baseline(model: Baseline, loader: Loader, job: FitJob) -> Fitted:
    """Fit the model to the training rows. The history is one epoch, however many passes it made."""
    task, batch_size = job.task, job.settings.batch_size
    true = task.labels.cpu().numpy()[task.train]
    with torch.inference_mode():
        parts = [model.transform(images).cpu() for images in loader(parts_of(task.train, batch_size))]
    model.fit(torch.cat(parts).numpy(), true, job.settings.epochs, derive_seed(job.seed, "learn"))
    model.to(task.labels.device)
    on_train = predict(model, loader, task.train, batch_size)
    metrics = {
        "train/loss": log_loss(on_train, true),
        "train/accuracy": float((on_train.argmax(axis=1) == true).mean()),
    }
    history = FitHistory(job)
    metrics |= history.select(1, predict_sets(model, loader, task, batch_size))
    history.add(1, metrics)
    return history.fitted
