"""Fits a classifier that learns without gradients, in one go, and scores it as every network is scored."""

from collections.abc import Callable

import torch

from harness.models.baselines import Classifier
from harness.stats.metrics import classification_metrics, log_loss
from harness.store.results import Metrics
from harness.study.identity import derive_seed
from harness.study.settings import Settings
from harness.training.fit import Fitted, Task, predict
from harness.training.loaders import Inputs


def learn(
    model: Classifier,
    inputs: Inputs,
    task: Task,
    settings: Settings,
    seed: int,
    on_epoch: Callable[[int, Metrics], None],
) -> Fitted:
    """The model fitted to the training rows; its history is one epoch, however many passes it made."""
    device, size = task.labels.device, settings.batch_size
    labels = task.labels.cpu().numpy()
    with torch.inference_mode():
        parts = [model.describe(inputs(task.train[i : i + size])).cpu() for i in range(0, len(task.train), size)]
    model.learn(torch.cat(parts).numpy(), labels[task.train], settings.epochs, derive_seed(seed, "learn"))
    model.to(device)
    on_train = predict(model, inputs, task.train, size, "fp32", device)
    metrics = {
        "train/loss": log_loss(on_train, labels[task.train]),
        "train/accuracy": float((on_train.argmax(axis=1) == labels[task.train]).mean()),
    }
    probabilities = predict(model, inputs, task.evaluate, size, "fp32", device)
    scores = classification_metrics(probabilities, labels[task.evaluate], task.positive)
    if task.every_epoch:
        metrics |= {f"val/{name}": value for name, value in scores.items()}
    on_epoch(1, metrics)
    return Fitted([metrics], 1, scores, probabilities)
