"""The losses of a fit: cross-entropy, and those that treat unequal classes or hard images otherwise."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from harness.models.custom import head_class
from harness.stats.priors import BETA
from harness.study.allowed import CROSS_ENTROPY
from harness.study.settings import Settings
from harness.training.task import FitJob

GAMMA = 2.0  # of the focal loss: the best of Lin et al. 2017
TAU = 1.0  # of the logit adjustment: the one that is consistent for the balanced error (Menon et al. 2021)
LossFunction = Callable[[Tensor, Tensor], Tensor]  # logits [n, classes], labels [n] -> the mean loss, or each [n]


def make_loss(job: FitJob) -> LossFunction:
    """The mean loss of a batch, by the loss that the settings name.

    It is the sum over the images divided by their number, also where classes have weights. Divided by the sum of the
    weights, as torch does, the parts of a batch would not add up to it, for they hold other classes.
    """
    settings, device = job.settings, job.task.labels.device
    source = job.sources.get(settings.loss)
    if source is not None:
        own = head_class(settings.loss, source)().to(device)
        return lambda logits, labels: own(logits, labels).mean()  # a loss for each image, or their mean already
    if settings.loss == CROSS_ENTROPY:
        smoothing = settings.label_smoothing
        return partial(cross_entropy, label_smoothing=smoothing) if smoothing else cross_entropy
    each = loss_of_each(settings, class_counts(job), device)
    return lambda logits, labels: each(logits, labels).mean()


def stacked_loss(jobs: Sequence[FitJob]) -> LossFunction:
    """The loss [fits, n] of each image, for logits [fits, n, classes] and labels [fits, n] of fits with one loss."""
    counts = torch.stack([class_counts(job) for job in jobs])
    return loss_of_each(jobs[0].settings, counts, jobs[0].task.labels.device)


def class_counts(job: FitJob) -> Tensor:
    """The training images [classes] of each class as the loss meets them: after oversampling, its copies counted.

    So oversampling and a weighted loss do not correct for the same imbalance twice.
    """
    labels = job.task.labels.cpu().numpy()
    return torch.from_numpy(np.bincount(labels[job.task.train], minlength=job.classes)).double()


def loss_of_each(settings: Settings, counts: Tensor, device: torch.device) -> LossFunction:
    """The built-in loss that the settings name, for each image.

    counts: [classes], or [fits, classes] for a stack, whose logits are [fits, n, classes] and labels [fits, n].
    """
    name, smoothing = settings.loss, settings.label_smoothing
    if name == "focal":
        return focal
    if name == "logit-adjusted":
        shift = TAU * (counts / counts.sum(dim=-1, keepdim=True)).log().float().to(device)
        return partial(logit_adjusted, shift=shift, smoothing=smoothing)
    if name in WEIGHTS:
        return partial(weighted, weights=WEIGHTS[name](counts).float().to(device), smoothing=smoothing)
    assert name == CROSS_ENTROPY
    return partial(each_cross_entropy, smoothing=smoothing)


def each_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The cross-entropy [..., n] of each image. logits: [..., n, classes]. labels: [..., n].

    smoothing: of the labels, the share that all classes get in equal parts (Szegedy et al. 2016, section 7).
    """
    flat = cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=smoothing)
    return flat.view_as(labels)


def weighted(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of each image times the weight of its class. weights: [classes] or [fits, classes]."""
    return each_cross_entropy(logits, labels, smoothing) * weights.gather(-1, labels)


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """The focal loss of each image, (1 - p)^gamma times its cross-entropy (Lin et al. 2017, equation 4).

    p: the probability of its class. Images that are easy count less, of whatever class; there is no weight alpha.
    """
    losses = each_cross_entropy(logits, labels)
    return (-torch.expm1(-losses)).pow(GAMMA) * losses


def logit_adjusted(logits: Tensor, labels: Tensor, shift: Tensor, smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of logits + tau log(prior) (Menon et al. 2021, equation 10).

    Only in training: predictions are by the plain logits, which are those for equally frequent classes.
    shift: tau log(prior), [classes] or [fits, classes].
    """
    return each_cross_entropy(logits + shift.unsqueeze(-2), labels, smoothing)


def balanced_weights(counts: Tensor) -> Tensor:
    """The weights n / (classes * count) of the classes, which make them count alike (King and Zeng 2001).

    They are those of scikit-learn's `class_weight="balanced"`; their mean over the training images is 1.
    """
    return counts.sum(dim=-1, keepdim=True) / (counts.shape[-1] * counts)


def effective_number_weights(counts: Tensor) -> Tensor:
    """The weights (1 - beta) / (1 - beta^count) of the classes, with the mean 1 over them (Cui et al. 2019).

    A class without images has the weight 0, and does not count in the mean.
    """
    present = counts > 0
    weights = torch.where(present, (1 - BETA) / (1 - BETA**counts), 0)
    return weights * present.sum(dim=-1, keepdim=True) / weights.sum(dim=-1, keepdim=True)


WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "class-weighted": balanced_weights,
    "effective-number": effective_number_weights,
}
