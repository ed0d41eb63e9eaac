from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.models.anatomy import anatomy
from harness.models.flops import flops_of, head_flops
from harness.models.heads import make_head
from harness.models.networks import new_network
from harness.study.settings import Settings


def test_the_flops_of_the_small_network_are_those_counted_by_hand() -> None:
    widths, size, by_hand = (3, 16, 32, 64, 128), 64, 0
    for before, after in pairwise(widths):
        by_hand += 2 * (3 * 3 * before * after) * size**2  # a multiply-add is two operations
        size //= 2
    assert anatomy("small-cnn", 64).flops == by_hand == 31_850_496


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_the_flops_without_data_are_those_of_a_real_image(name: str) -> None:
    network = new_network(name, 64).eval()
    whole = flops_of(lambda: network.forward_features(torch.rand(1, 3, 64, 64)))  # type: ignore[operator]
    assert anatomy(name, 64).flops == whole > 0


def test_the_attention_of_a_transformer_is_counted() -> None:
    # 16 patches of 16 x 16 pixels and a class token, width 64, 6 blocks with two heads and an MLP of three widths
    network: Any = new_network("test_vit", 64)
    tokens, width, blocks = 17, 64, len(network.blocks)
    linear = sum(p.numel() for n, p in network.named_parameters() if n.startswith("blocks") and p.ndim == 2)
    patches = 2 * 16 * (16 * 16 * 3 * width)
    assert anatomy("test_vit", 64).flops == patches + 2 * tokens * linear + blocks * 2 * 2 * tokens**2 * width


@pytest.mark.parametrize(
    ("head", "inputs"), [("dropout-gap", 8), ("batchnorm-gap", 8), ("dropout-flatten", 72), ("batchnorm-flatten", 72)]
)
def test_a_head_counts_its_linear_layer(head: str, inputs: int) -> None:
    made = make_head(Settings(backbone="small-cnn", head=head), (8, 3, 3), classes=5)
    assert head_flops(made, (8, 3, 3)) == 2 * inputs * 5


def test_counting_leaves_a_head_as_it_was() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 2)
            self.calls = 0

        def forward(self, features: Tensor) -> Tensor:
            self.calls += 1
            logits: Tensor = self.linear(features.mean(dim=(2, 3)))
            return logits

    head = Counts().train()
    assert head_flops(head, (8, 3, 3)) == 32
    assert (head.calls, head.training) == (0, True)


def test_a_head_that_takes_no_single_image_has_no_flops() -> None:
    class Pairs(nn.Linear):
        def forward(self, features: Tensor) -> Tensor:
            first, second = features.flatten(1)
            return super().forward(first + second)

    assert head_flops(Pairs(8, 2), (8, 1, 1)) is None
