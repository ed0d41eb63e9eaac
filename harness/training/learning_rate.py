"""The learning rate of each step of a fit, a function of the step alone: a fit that goes on needs no other state."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.store.results import Metrics
from harness.study.settings import Settings

Rates = NDArray[np.float64]
STEPS_DOWN, STEP_FACTOR = 3, 0.1  # a tenth after each third, as He et al. 2016 did at epochs 30 and 60 of 90
RISE, START, END = 0.3, 1 / 25, 1e-4  # of torch's OneCycleLR: the share that rises, where it starts, END of START


def is_scheduled(settings: Settings) -> bool:
    """Whether the learning rate changes during a fit."""
    return settings.schedule != "constant" or settings.warmup > 0


def learning_rates(settings: Settings, epoch: int, steps: int) -> Rates:
    """The rate of each step [steps] of an epoch, from 1. steps: of an epoch.

    The warmup rises in equal parts (Goyal et al. 2017) and reaches the whole rate at the first step behind it, where
    the schedule begins: LinearLR and the schedule in torch's SequentialLR.
    """
    warmup = round(settings.warmup * steps)
    at = np.arange((epoch - 1) * steps, epoch * steps)
    factors = _SHAPES[settings.schedule](np.maximum(at - warmup, 0), max(settings.epochs * steps - warmup, 1))
    rates: Rates = settings.learning_rate * np.where(at < warmup, (at + 1) / (warmup + 1), factors)
    return rates


def rate_metrics(settings: Settings, epoch: int, steps: int) -> Metrics:
    """The rate of the last step of an epoch, as a metric; none where it never changes."""
    if not is_scheduled(settings):
        return {}
    return {"train/learning_rate": float(learning_rates(settings, epoch, steps)[-1])}


def _constant(at: Rates, _steps: int) -> Rates:
    return np.ones(at.shape)


def _cosine(at: Rates, steps: int) -> Rates:
    """Half a cosine down to 0 (Loshchilov and Hutter 2017, without restarts): CosineAnnealingLR."""
    return (1 + np.cos(np.pi * at / steps)) / 2


def _linear(at: Rates, steps: int) -> Rates:
    """A line down to 0: LinearLR."""
    return 1 - at / steps


def _step(at: Rates, steps: int) -> Rates:
    """MultiStepLR with its milestones at equal parts of the steps."""
    return STEP_FACTOR ** (STEPS_DOWN * at // steps)


def _one_cycle(at: Rates, steps: int) -> Rates:
    """A cosine up and one down (Smith and Topin 2018): OneCycleLR, which leaves the momentum as it is."""
    top, last = RISE * steps - 1, steps - 1  # steps, of which torch counts fractions
    rise = 1 + (START - 1) * (1 + np.cos(np.pi * at / top)) / 2
    fall = START * END + (1 - START * END) * (1 + np.cos(np.pi * (at - top) / (last - top))) / 2
    return np.where(at <= top, rise, fall)


_SHAPES: dict[str, Callable[[Rates, int], Rates]] = {
    "constant": _constant, "cosine": _cosine, "linear": _linear, "step": _step, "one-cycle": _one_cycle,
}  # fmt: skip
