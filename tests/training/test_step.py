import pytest
import torch
from torch import nn

from harness.models.heads import BatchNormGap, moments_of
from harness.study.settings import Settings
from harness.training.device import Arithmetic
from harness.training.learner import Learner
from harness.training.step import Steps

CPU = torch.device("cpu")


def batches(norm: nn.Module) -> int:
    """The number of batches that a batch norm has counted."""
    return int(norm.get_buffer("num_batches_tracked"))


def steps_of(model: nn.Module) -> Steps:
    return Steps(Learner(model, torch.optim.SGD(model.parameters(), lr=0.1)), Arithmetic(CPU, "fp32"), 4)


def test_batches_are_counted_at_the_end_and_all_of_them() -> None:
    norm, other, cumulative = nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval(), nn.BatchNorm1d(3, momentum=None)
    model = nn.Sequential(norm, other, cumulative)
    with steps_of(model).training(forwards=2):
        assert norm.num_batches_tracked is None
        other.eval()
        for _ in range(2):
            model(torch.randn(4, 3))
    assert batches(norm) == 2
    assert batches(cumulative) == 2, "its counter decides the running statistics"
    assert list(model.state_dict()) == list(nn.Sequential(norm, other, cumulative).state_dict())


def test_a_module_that_is_not_trained_counts_nothing() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> "Frozen":
            return self if mode else super().train(mode)

    norm = nn.BatchNorm1d(3)
    model = Frozen(norm).eval()
    with steps_of(model).training(forwards=2):
        model(torch.randn(4, 3))
    assert batches(norm) == 0


def test_the_head_that_reads_moments_is_counted_too() -> None:
    head = BatchNormGap((5, 2, 2), 2, Settings(backbone="test_resnet"))
    with steps_of(head).training(forwards=1):
        head(torch.stack(moments_of(torch.randn(4, 5, 2, 2)), dim=1))
    assert batches(head.norm) == 1


def test_counters_come_back_where_a_step_fails() -> None:
    norm = nn.BatchNorm1d(3)
    with pytest.raises(ZeroDivisionError), steps_of(nn.Sequential(norm)).training(forwards=1):
        raise ZeroDivisionError
    assert batches(norm) == 1


def test_the_gradients_of_parts_add_up_to_those_of_the_batch() -> None:
    images, labels = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    weights = []
    for parts in ([(images, labels, 1.0)], [(images[:3], labels[:3], 0.75), (images[3:], labels[3:], 0.25)]):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        losses, logits = steps_of(model).train(parts, planned=1)
        assert [len(part) for part in logits] == [len(part[0]) for part in parts]
        assert len(losses) == len(parts)
        weights.append(model.weight.detach().clone())
    torch.testing.assert_close(*weights)
