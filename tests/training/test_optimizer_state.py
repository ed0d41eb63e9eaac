"""The optimizers of timm, and the state of an optimizer on its way through a file."""

import json
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from harness.models.timm_optimizers import optimizer_problem
from harness.study.allowed import OPTIMIZERS
from harness.study.settings import Settings
from harness.training.optimizer_state import restore_state, state_of
from harness.training.optimizers import make_optimizer

ODD_STATES = ("adafactor", "adafactorbv", "adan", "kron", "lamb", "lion", "mars", "muon", "radamlegacy", "sgdp")


def usable() -> list[str]:
    from timm.optim._optim_factory import list_optimizers

    return [name for name in map(str, list_optimizers()) if optimizer_problem(name) is None]


def begun(name: str) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    model.to(memory_format=torch.channels_last)
    settings = Settings(backbone="b", optimizer=name, learning_rate=0.01, weight_decay=0.01)
    return model, make_optimizer(model, settings)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    torch.manual_seed(number)  # as each epoch does
    optimizer.zero_grad()
    model(torch.randn(6, 3, 4, 4)).square().mean().backward()
    optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def through_a_file(packed: Any, tensors: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    content = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
    return json.loads(json.dumps(packed)), safetensors.torch.load(content)


COMPILING = "kron"  # the names begin so: they compile in their first step
MARKED = [pytest.param(name, marks=pytest.mark.long) if name.startswith(COMPILING) else name for name in usable()]


@pytest.mark.parametrize("name", MARKED)
def test_every_optimizer_of_timm_makes_steps_of_every_weight(name: str) -> None:
    model, optimizer = begun(name)
    before = weights(model)
    for number in range(2):
        step(model, optimizer, number)
    for old, new in zip(before, weights(model), strict=True):
        assert new.isfinite().all()
        assert not torch.equal(old, new)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long) if n.startswith(COMPILING) else n for n in (*OPTIMIZERS, *ODD_STATES)],
)
def test_an_optimizer_goes_on_from_a_file_bit_for_bit(name: str) -> None:
    model, optimizer = begun(name)
    for number in range(3):
        step(model, optimizer, number)
    other, restored = begun(name)
    other.load_state_dict(model.state_dict())
    restore_state(restored, *through_a_file(*state_of(optimizer)))
    for number in range(3, 6):
        step(model, optimizer, number)
        step(other, restored, number)
    assert all(map(torch.equal, weights(model), weights(other)))


def test_a_state_that_is_no_plain_data_is_not_stored() -> None:
    _, optimizer = begun("sgd")
    optimizer.state[optimizer.param_groups[0]["params"][0]]["random"] = torch.Generator()
    with pytest.raises(TypeError, match=r"random is a Generator"):
        state_of(optimizer)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("lamp", "unknown optimizer 'lamp'; did you mean lamb"),
        ("adahessian", "adahessian needs second derivatives"),
        ("bnbadam", "bnbadam needs a package beside timm"),
        ("fusedlamb", "fusedlamb needs a package beside timm"),
    ],
)
def test_what_no_fit_can_use_is_refused_by_name(name: str, problem: str) -> None:
    assert str(optimizer_problem(name)).startswith(problem)
    assert all(optimizer_problem(known) is None for known in (*OPTIMIZERS, "lamb"))
