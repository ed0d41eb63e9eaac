"""The learning rates of a fit, against torch's own schedulers."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from harness.study.settings import Settings
from harness.training.fit_history import Fitted
from harness.training.learning_rate import learning_rates, rate_metrics
from harness.training.optimizers import set_rate
from harness.training.step import Steps
from tests.training.test_fit import SETTINGS, trained

RATE = 0.03
SCHEDULES = get_args(Settings.model_fields["schedule"].annotation)


def settings_of(schedule: str, epochs: int, warmup: float = 0.0) -> Settings:
    return SETTINGS.model_copy(update={"schedule": schedule, "epochs": epochs, "warmup": warmup, "learning_rate": RATE})


def scheduler_of(optimizer: SGD, schedule: str, steps: int) -> LRScheduler:
    thirds = [math.ceil(steps / 3), math.ceil(2 * steps / 3)]
    made: dict[str, LRScheduler] = {
        "constant": ConstantLR(optimizer, factor=1.0),
        "cosine": CosineAnnealingLR(optimizer, steps),
        "linear": LinearLR(optimizer, 1.0, 0.0, steps),
        "step": MultiStepLR(optimizer, thirds),
    }
    return made[schedule]


def of_torch(schedule: str, steps: int, warmup: int) -> list[float]:
    """The rates of so many steps by torch."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler: LRScheduler
    if schedule == "one-cycle":
        scheduler = OneCycleLR(optimizer, RATE, total_steps=steps, cycle_momentum=False)
    else:
        scheduler = scheduler_of(optimizer, schedule, steps - warmup)
        if warmup:
            optimizer.param_groups[0]["lr"] = RATE
            rise = LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup)
            scheduler = SequentialLR(optimizer, [rise, scheduler], [warmup])
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if len(rates) < steps:
            scheduler.step()
    return rates


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(epochs=st.integers(1, 6), steps=st.integers(1, 9), warmup=st.integers(0, 40))
def test_every_step_has_the_rate_of_torch_s_scheduler(schedule: str, epochs: int, steps: int, warmup: int) -> None:
    warmup = 0 if schedule == "one-cycle" else min(warmup, epochs * steps - 1)
    settings = settings_of(schedule, epochs, warmup / steps)
    found = [rate for epoch in range(epochs) for rate in learning_rates(settings, epoch + 1, steps)]
    assert found == pytest.approx(of_torch(schedule, epochs * steps, warmup), rel=1e-9, abs=1e-12)


def test_a_rate_on_the_device_is_set_in_place() -> None:
    rate = torch.tensor(1.0)
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    set_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is rate and rate == 0.25


def seen_rates(monkeypatch: pytest.MonkeyPatch, **changes: object) -> tuple[list[float], Fitted]:
    """The rate of the optimizer in every step of a fit."""
    seen, train = [], Steps.train

    def noted(self: Steps, *given: object) -> object:
        seen.append(self._optimizer.param_groups[0]["lr"])
        return train(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Steps, "train", noted)
    return seen, trained(**changes)  # type: ignore[arg-type]


def test_a_fit_takes_its_steps_at_these_rates_and_tells_the_last_of_each_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: dict[str, object] = {"schedule": "cosine", "warmup": 0.5, "epochs": 3, "learning_rate": RATE}
    seen, fitted = seen_rates(monkeypatch, **changes)
    settings = settings_of("cosine", 3, 0.5)
    assert seen == [rate for epoch in (1, 2, 3) for rate in learning_rates(settings, epoch, 5)]  # 40 images by 8
    assert [epoch["train/learning_rate"] for epoch in fitted.history] == seen[4::5]


def test_a_schedule_that_never_changes_the_rate_gives_the_bits_of_none() -> None:
    plain, scheduled = trained(), trained(warmup=0.01)  # less than half a step
    assert [epoch.pop("train/learning_rate") for epoch in scheduled.history] == [SETTINGS.learning_rate] * 4
    assert scheduled.history == plain.history
    assert (scheduled.probabilities == plain.probabilities).all()
    assert rate_metrics(SETTINGS, 1, 5) == {}
