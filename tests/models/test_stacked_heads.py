"""A stack of heads against the heads themselves, one after the other."""

import pytest
import torch
from torch import Tensor, nn

from harness.models.dropout import dropout_mask
from harness.models.heads import initialise, make_head
from harness.models.names import STACKED_HEADS
from harness.models.stacked_heads import StackedHead
from harness.study.settings import Settings

SHAPE, SIZES, WIDTH = (5, 3, 2), (7, 4, 6), 7  # of the batches of three fits; the widest


def heads_of(name: str, dropout: float = 0.5) -> list[nn.Module]:
    heads = [make_head(Settings(backbone="test_resnet", head=name, dropout=dropout), SHAPE, 3) for _ in SIZES]
    for seed, head in enumerate(heads):
        initialise(head, seed)
        for value in head.state_dict().values():  # so that no scale is 1 and no shift 0
            if value.is_floating_point():
                value += torch.rand(value.shape, generator=torch.Generator().manual_seed(seed))
    return heads


def batch() -> tuple[Tensor, Tensor]:
    """Maps [fits, WIDTH, C, h, w] and weights; what fills up is far from all else."""
    maps = torch.randn(3, WIDTH, *SHAPE, generator=torch.Generator().manual_seed(5)) * 3 + 1
    weight = (torch.arange(WIDTH) < torch.tensor(SIZES)[:, None]).float()
    maps[weight == 0] = 1e3
    return maps, weight


def read(stack: StackedHead, maps: Tensor, training: bool) -> Tensor:
    """What the stack reads of these maps."""
    variance, mean = torch.var_mean(maps, dim=(-2, -1), correction=0)
    return {"maps": maps, "moments": torch.stack((mean, variance), dim=-2), "means": mean}[stack.reads(training)]


def state_of(stack: StackedHead, fit: int) -> dict[str, Tensor]:
    return {name: value.detach()[fit] for name, value in stack.state.items()}


@pytest.mark.parametrize("name", STACKED_HEADS)
@pytest.mark.parametrize("dropout", [0.5, 0.0])
def test_a_stack_gives_the_logits_the_gradients_and_the_statistics_of_its_heads(name: str, dropout: float) -> None:
    heads, (maps, weight) = heads_of(name, dropout), batch()
    stack = StackedHead(heads, SHAPE)
    mask = torch.ones(3, WIDTH, *SHAPE) if stack.p else None
    if mask is not None:
        for fit, n in enumerate(SIZES):
            mask[fit, :n] = dropout_mask((n, *SHAPE), dropout, maps.device, torch.Generator().manual_seed(fit))
    logits = stack.train(read(stack, maps, training=True), weight, mask)
    (logits.square().sum(dim=2) * weight).sum().backward()  # type: ignore[no-untyped-call]
    for fit, (head, n) in enumerate(zip(heads, SIZES, strict=True)):
        torch.manual_seed(fit)
        expected = head.train()(maps[fit, :n])
        torch.testing.assert_close(logits[fit, :n], expected)
        expected.square().sum().backward()
        for parameter, (key, theirs) in zip(stack.parameters, head.named_parameters(), strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad[fit], theirs.grad, msg=key, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(state_of(stack, fit), head.state_dict())


@pytest.mark.parametrize("name", STACKED_HEADS)
def test_a_stack_evaluates_as_its_heads_do(name: str) -> None:
    heads, (maps, _) = heads_of(name), batch()
    stack = StackedHead(heads, SHAPE)
    logits = stack.evaluate(read(stack, maps, training=False))
    for fit, head in enumerate(heads):
        torch.testing.assert_close(logits[fit], head.eval()(maps[fit]), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["batchnorm-gap", "batchnorm-flatten"])
def test_the_statistics_of_a_fit_without_a_batch_stay_as_they_are(name: str) -> None:
    heads, (maps, weight) = heads_of(name), batch()
    stack, weight[1] = StackedHead(heads, SHAPE), 0
    stack.train(read(stack, maps, training=True), weight, None)
    torch.testing.assert_close(state_of(stack, 1), heads[1].state_dict(), rtol=0, atol=0)
    assert state_of(stack, 0)["norm.num_batches_tracked"] == heads[0].state_dict()["norm.num_batches_tracked"] + 1


def test_masks_are_the_same_from_torchs_own_generator_and_from_one_with_its_seed() -> None:
    torch.manual_seed(3)
    own = [dropout_mask((4, 5), 0.3, torch.device("cpu")) for _ in range(2)]
    generator = torch.Generator().manual_seed(3)
    given = [dropout_mask((4, 5), 0.3, torch.device("cpu"), generator) for _ in range(2)]
    torch.testing.assert_close(own, given, rtol=0, atol=0)
    assert not torch.equal(*own)
