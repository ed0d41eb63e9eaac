import pytest
import torch
from torch import Tensor, nn

from harness.models.layer_depths import layer_depths
from harness.study.settings import Settings
from harness.training.optimizers import StackedOptimizer, make_optimizer, parameter_groups, set_rate
from tests.training.test_fit import SETTINGS, network

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


@pytest.mark.parametrize("trainable", ["all", "last-1"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
def test_every_layer_moves_at_its_own_share_of_the_rate_and_the_head_at_all_of_it(
    trainable: str, optimizer: str
) -> None:
    settings = SETTINGS.model_copy(update={"layer_decay": 0.5, "trainable": trainable, "optimizer": optimizer})
    model, _ = network(settings)
    made = make_optimizer(model, settings)
    set_rate(made, 0.3)
    rates = {parameter: group["lr"] for group in made.param_groups for parameter in group["params"]}
    assert {*rates} == {parameter for parameter in model.parameters() if parameter.requires_grad}
    depths = layer_depths(model.get_submodule("backbone.network"), "test_resnet")
    named = model.named_parameters()
    expected = {name: 0.3 * 0.5 ** depths.get(name.removeprefix("backbone.network."), 0) for name, _ in named}
    assert all(
        rates[parameter] == pytest.approx(expected[name])
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    )
    assert {rates[parameter] for name, parameter in model.named_parameters() if name.startswith("head.")} == {0.3}
    assert len({*rates.values()}) > (2 if trainable == "all" else 1)


def test_one_rate_is_one_group() -> None:
    model, _ = network(SETTINGS)
    (group,) = parameter_groups(model, SETTINGS)
    assert group["lr"] == SETTINGS.learning_rate
