"""The training loop, in full view."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.plan import derive_seed
from harness.results import Metrics
from harness.settings import Settings
from harness.training.augment import Augmentation
from harness.training.device import autocast
from harness.training.inputs import Inputs, Rows
from harness.training.metrics import Probabilities, classification_metrics


@dataclass(frozen=True)
class Task:
    """What is to be learnt: `labels` [images of the manifest] on the device, rows of the manifest on each side."""

    labels: Tensor
    train: Rows  # after oversampling
    evaluate: Rows
    positive: int | None
    every_epoch: bool  # False on the test set, which is looked at once


@dataclass(frozen=True)
class Fitted:
    """The curves of a fit, and the probabilities [n, classes] of its selected epoch."""

    history: list[Metrics]
    selected_epoch: int  # from 1
    metrics: Metrics  # of the images evaluated, without a prefix
    probabilities: Probabilities


def fit(
    model: nn.Module,
    inputs: Inputs,
    task: Task,
    settings: Settings,
    seed: int,
    precision: str,
    on_epoch: Callable[[int, Metrics], None],
    micro_batch: int | None = None,
) -> Fitted:
    """The model trained for `settings.epochs`. Raises FloatingPointError where the loss is not finite.

    micro_batch: how many images go through the network at a time, where it is less than a batch. Their gradients add up
    to the batch's, but batch norm sees only them.
    """
    micro_batch = micro_batch or settings.batch_size
    optimizer = _optimizer(model, settings)
    device = task.labels.device
    history: list[Metrics] = []
    best: Fitted | None = None
    for epoch in range(1, settings.epochs + 1):
        torch.manual_seed(derive_seed(seed, "dropout", epoch))
        losses, hits = [], []
        seen = 0
        augment = Augmentation(settings.augment, len(task.train), derive_seed(seed, "augment", epoch), device)
        model.train()
        for batch in shuffled_batches(task.train, settings.batch_size, derive_seed(seed, "order", epoch)):
            optimizer.zero_grad(set_to_none=True)
            for rows in micro_batches(batch, micro_batch):
                labels = task.labels[torch.from_numpy(rows).to(device)]
                images = augment(inputs(rows), seen)
                with autocast(precision, device):
                    logits = model(images)
                loss = cross_entropy(logits.float(), labels)
                (loss * (len(rows) / len(batch))).backward()  # type: ignore[no-untyped-call]
                seen += len(rows)
                losses.append(loss.detach() * len(rows))
                hits.append((logits.detach().argmax(dim=1) == labels).sum())
            optimizer.step()
        metrics = _training_metrics(losses, hits, len(task.train), epoch)

        if task.every_epoch or epoch == settings.epochs:
            probabilities = predict(model, inputs, task.evaluate, micro_batch, precision, device)
            if not np.isfinite(probabilities).all():
                raise FloatingPointError(f"the predictions are not finite after epoch {epoch}")
            scores = classification_metrics(probabilities, task.labels.cpu().numpy()[task.evaluate], task.positive)
            if task.every_epoch:
                metrics |= {f"val/{name}": value for name, value in scores.items()}
            if _is_selected(settings, task, best, scores):
                best = Fitted(history, epoch, scores, probabilities)
        history.append(metrics)
        on_epoch(epoch, metrics)
    assert best is not None
    return best


def shuffled_batches(rows: Rows, size: int, seed: int) -> Iterator[Rows]:
    """The rows in a random order, `size` at a time. A last row alone joins the batch before: batch norm needs two."""
    order = np.random.default_rng(seed).permutation(rows)
    last = len(order) - 1 if len(order) % size == 1 and len(order) > size else len(order)
    for start in range(0, last, size):
        stop = start + size
        yield order[start:] if stop >= last else order[start:stop]


def micro_batches(batch: Rows, size: int) -> list[Rows]:
    """A batch in parts of at most `size` rows, nearly equal; none is a single row unless the batch is."""
    return np.array_split(batch, max(1, min(-(-len(batch) // size), len(batch) // 2)))


def predict(
    model: nn.Module, inputs: Inputs, rows: Rows, size: int, precision: str, device: torch.device
) -> NDArray[np.float64]:
    """The probabilities [n, classes] of these rows, the model in evaluation mode."""
    model.eval()
    with torch.inference_mode(), autocast(precision, device):
        logits = [model(inputs(rows[start : start + size])).float() for start in range(0, len(rows), size)]
    return torch.cat(logits).cpu().double().softmax(dim=1).numpy()


def _optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = settings.learning_rate, settings.weight_decay
    fused = parameters[0].device.type in ("cuda", "cpu")
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=0.9, fused=fused)
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    return kind(parameters, lr=rate, weight_decay=decay, fused=fused)


def _training_metrics(losses: list[Tensor], hits: list[Tensor], images: int, epoch: int) -> Metrics:
    """Means over the epoch as the model trained; the only read from the device in an epoch."""
    values = torch.stack(losses).cpu()
    if not values.isfinite().all():
        batch = int((~values.isfinite()).nonzero()[0]) + 1
        raise FloatingPointError(f"the loss is {values[batch - 1].item()} in epoch {epoch}, batch {batch}")
    return {
        "train/loss": float(values.double().sum()) / images,
        "train/accuracy": int(torch.stack(hits).sum()) / images,
    }


def _is_selected(settings: Settings, task: Task, best: Fitted | None, scores: Metrics) -> bool:
    """Whether this epoch replaces the one kept so far."""
    if best is None or settings.select_epoch == "last" or not task.every_epoch:
        return True
    return scores["accuracy"] > best.metrics["accuracy"]
