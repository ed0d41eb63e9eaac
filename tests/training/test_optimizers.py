import pytest
import torch
from torch import Tensor, nn

from harness.study.settings import Settings
from harness.training.optimizers import StackedOptimizer, make_optimizer

RATES, DECAYS, STEPS = [1e-3, 3e-2, 1e-2], [0.0, 0.1, 0.01], 40


def settings_of(optimizer: str) -> list[Settings]:
    base = Settings(backbone="test_resnet")
    changes = [
        {"optimizer": optimizer, "learning_rate": r, "weight_decay": d} for r, d in zip(RATES, DECAYS, strict=True)
    ]
    return [base.model_copy(update=change) for change in changes]


def gradients(fit: int, shape: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(fit)
    return [torch.randn(shape, generator=generator) * 10.0 ** (step % 3 - 1) for step in range(STEPS)]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_every_fit_of_a_stack_moves_as_with_the_optimizer_of_torch(optimizer: str, shape: tuple[int, ...]) -> None:
    settings = settings_of(optimizer)
    start = torch.randn(3, *shape, generator=torch.Generator().manual_seed(9))
    stacked = start.clone().requires_grad_()
    steps = [torch.stack(step) for step in zip(*(gradients(fit, shape) for fit in range(3)), strict=True)]
    ours, rates = StackedOptimizer([stacked], settings), torch.tensor(RATES)
    waits = torch.arange(STEPS) % 4 == 1  # the second fit has no batch in these steps
    for step, wait in zip(steps, waits, strict=True):
        ours.step([step], rates, torch.tensor([True, not wait, True]))
    for fit in range(3):
        model = nn.Module()
        model.weight = nn.Parameter(start[fit].clone())
        theirs = make_optimizer(model, settings[fit])
        for step, wait in zip(steps, waits, strict=True):
            if fit == 1 and wait:
                continue
            model.weight.grad = step[fit]
            theirs.step()
        torch.testing.assert_close(stacked.detach()[fit], model.weight.detach(), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(stacked.detach()[fit], start[fit], atol=1e-3)
