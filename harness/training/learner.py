"""A model in training, with its optimizer, its clipped gradients and the average of its weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from harness.training.optimizers import make_optimizer, parameters_of
from harness.training.stopping import Stopping
from harness.training.task import FitJob


class Average:
    """The exponential moving average of weights (Polyak and Juditsky 1992), which begins at what they are now.

    After each step it is decay * average + (1 - decay) * weights, as in timm's ModelEmaV3 without a warmup.
    """

    def __init__(self, weights: Sequence[Tensor], decay: float) -> None:
        self._weights, self._into = weights, get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.tensors = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self._into(self.tensors, self._weights, 0)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the weights, each in its place in memory, where a graph of kernels finds it."""
        for average, weight in zip(self.tensors, self._weights, strict=True):
            held = weight.clone()
            weight.copy_(average)
            average.copy_(held)


@dataclass(frozen=True)
class Learner:
    """A model in training, and what changes its weights.

    clip: the largest norm of the gradients of all its weights together; 0: any. average: of the weights that are
    trained; buffers, such as the statistics of batch norm, are the model's own. stopping: None where all epochs are
    trained.
    """

    model: nn.Module
    optimizer: Optimizer
    clip: float = 0.0
    average: Average | None = None
    stopping: Stopping | None = None

    def step(self) -> None:
        """Change the weights by their gradients, and take them into the average. Nothing waits for the device."""
        if self.clip:
            clip_grad_norm_(parameters_of(self.optimizer), self.clip)
        self.optimizer.step()
        if self.average:
            self.average.update()

    def finish(self) -> None:
        """Give the model the weights that stay: their average where one is kept, and those of the best epoch."""
        self._swap()
        if self.stopping:
            self.stopping.restore(self.model)

    def _swap(self) -> None:
        """Exchange the weights for their average, or back; does nothing where none is kept."""
        if self.average:
            self.average.swap()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the average of the weights into the model for as long as it is scored."""
        self._swap()
        try:
            yield
        finally:
            self._swap()


def make_learner(model: nn.Module, job: FitJob) -> Learner:
    """The model before its first step, with all that the settings ask for."""
    settings = job.settings
    optimizer = make_optimizer(model, settings, job.sources.get(settings.optimizer))
    average = Average(parameters_of(optimizer), settings.ema) if settings.ema else None
    return Learner(model, optimizer, settings.clip, average, Stopping(job) if settings.stop_patience else None)
