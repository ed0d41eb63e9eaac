"""Networks with fused batch norms: their graphs on the CPU, and the kernels by Triton's interpreter."""

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from harness.models.networks import new_network
from harness.training import fused_norm, fusing, side_conv
from harness.training.fused_norm import FusedNorm, Grid
from harness.training.fused_pool import FusedPool, fused_pool
from harness.training.fusing import fuse, why_not
from harness.training.side_conv import Side, SideConv

CPU = torch.device("cpu")


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs the kernels by Triton's interpreter, on maps on the CPU."""
    pytest.importorskip("triton")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles here; make test-gpu has these cases")
    for module in (fused_norm, side_conv):
        monkeypatch.setattr(module, "runs_kernels", lambda _: True)
    why_not.cache_clear()
    yield
    why_not.cache_clear()


class Odd(nn.Module):
    """Batch norms around which little can be fused."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.third, self.act, self.pool = nn.BatchNorm2d(8, affine=False), nn.ReLU(inplace=True), nn.MaxPool2d((3, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        once = self.first(x)
        twice = once + once  # no other map is added
        thrice = self.second(twice) + 1  # nor here
        return self.pool(self.act(self.third(thrice + twice) + self.first(thrice)))  # type: ignore[no-any-return]


def network_of(name: str) -> nn.Module:
    torch.manual_seed(0)
    return (Odd() if name == "odd" else new_network(name, 64)).train()


def gradients(network: nn.Module, forward: Any, images: Tensor) -> list[Tensor]:
    torch.manual_seed(0)
    found = forward(images)
    found.square().sum().backward()
    return [found, *(p.grad for p in network.parameters() if p.grad is not None), *network.buffers()]


@pytest.mark.parametrize(
    "name", ["test_resnet", "resnet18", "odd", "test_efficientnet", "regnetx_002", "resnetv2_50", "dla34"]
)
def test_a_fused_network_gives_the_bits_of_the_network_where_its_kernels_do_not_run(name: str) -> None:
    network = network_of(name)
    other = copy.deepcopy(network)
    fused = fuse(network)
    assert fused is not None
    images = torch.randn(3, 3, 64, 64)
    found, right = gradients(network, fused.network, images), gradients(other, other, images)
    counters = [name for name, _ in other.named_buffers() if name.endswith("num_batches_tracked")]
    assert len(found) == len(right)
    same = [torch.equal(one, two) for one, two in zip(found, right, strict=True)]
    assert len(same) - sum(same) == len(counters) - (name == "odd")  # `Steps.training` counts; one norm is left alone
    assert list(network.state_dict()) == list(other.state_dict())


@pytest.mark.parametrize(
    ("name", "norms", "relus", "added", "two"),
    [
        ("resnet18", 20, 17, 8, 7), ("resnetv2_50", 49, 49, 0, 4), ("mobilenetv2_100", 52, 0, 10, 10),
        ("odd", 3, 1, 1, 0),
    ],
)  # fmt: skip
def test_what_follows_a_batch_norm_is_found(name: str, norms: int, relus: int, added: int, two: int) -> None:
    fused = fuse(network_of(name))
    assert fused is not None and isinstance(fused.network, fx.GraphModule)
    nodes = [node for node in fused.network.graph.nodes if node.op == "call_module"]
    steps = [(node, fused.network.get_submodule(str(node.target))) for node in nodes]
    found = [(node, step) for node, step in steps if isinstance(step, FusedNorm)]
    assert len(found) == norms
    assert sum(step.relu for _, step in found) == relus
    assert sum(node.args[5] is not None for node, _ in found) == added
    assert sum(step.readers == 2 for _, step in found) == two


def test_a_frozen_batch_norm_and_its_convolution_stay() -> None:
    network = network_of("resnet18")
    for module in network.get_submodule("layer1").modules():
        module.eval()
    fused = fuse(network)
    assert fused is not None
    assert sum(isinstance(module, FusedNorm) for module in fused.network.modules()) == 20 - 4


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_a_network_without_batch_norm_is_not_fused(name: str) -> None:
    assert fuse(new_network(name, 224).train()) is None


def test_code_that_torch_fx_cannot_read_is_not_fused() -> None:
    class Branching(Odd):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.mean() > 0 else -x)

    assert fuse(Branching().train()) is None


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(3, ceil_mode=True), nn.MaxPool2d((2, 3)), nn.AvgPool2d(2), None],
)
def test_pools_with_other_options_are_left_to_torch(pool: nn.Module | None) -> None:
    assert fused_pool(pool) is None


def test_the_kernels_agree_with_double_precision(interpreted: None) -> None:  # noqa: ARG001
    from tests.gpu.checks.fused import cases

    seen = set()
    for name, (found, again, right) in cases(CPU, ((3, 24, 3, 2), (2, 20, 3, 2)), 7):
        assert all(map(torch.equal, found, again))
        far = [float((one.double() - other).norm() / other.norm()) for one, other in zip(found, right, strict=True)]
        assert max(far) < 0.008  # the interpreter cuts digits off where a GPU rounds
        seen.add(name)
    assert seen == {"batch norm", "max pooling", "convolution"}


def test_a_constant_channel_far_from_zero_keeps_its_digits(interpreted: None) -> None:  # noqa: ARG001
    x = torch.full((4, 16, 3, 3), 1000.0)
    x[:, 1] += torch.linspace(-8, 8, 36).reshape(4, 3, 3)
    x = x.to(torch.bfloat16, memory_format=torch.channels_last)
    mean, variance, weight, bias = torch.zeros(16), torch.ones(16), torch.ones(16), torch.zeros(16)
    y = FusedNorm(1e-5, 1.0, relu=False)(x, weight, bias, mean, variance)
    assert isinstance(y, Tensor)
    assert not y[:, 0].any() and torch.equal(mean[:1], x[0, 0, 0, :1].float()) and variance[0] == 0
    true = x[:, 1].double()
    assert variance[1] == pytest.approx(true.var().item(), rel=1e-5)


def test_what_is_no_number_is_seen(interpreted: None) -> None:  # noqa: ARG001
    x = torch.randn(4, 16, 3, 3).to(torch.bfloat16, memory_format=torch.channels_last)
    x[1, 3, 0, 0] = torch.nan
    mean, variance, weight, bias = torch.zeros(16), torch.ones(16), torch.ones(16), torch.zeros(16)
    y = FusedNorm(1e-5, 0.1, relu=True)(x, weight, bias, mean, variance)
    assert isinstance(y, Tensor) and y[:, 3].isnan().all() and not y[:, :3].isnan().any()
    pooled = FusedPool(2, 2, 0)(x)
    assert pooled[1, 3, 0, 0].isnan() and pooled.isnan().sum() == 1


def test_the_largest_map_is_divided_without_a_rest() -> None:
    grid = Grid.of(torch.empty(64, 100, 75, 75, device="meta"))
    assert grid.slabs * grid.slab >= grid.rows > (grid.slabs - 1) * grid.slab
    assert grid.slabwise[0] * grid.wide >= grid.channels


def test_kernels_that_agree_are_used(interpreted: None) -> None:  # noqa: ARG001
    assert why_not(CPU) is None


def test_kernels_with_other_numbers_are_not_used(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setattr(fusing, "FusedNorm", lambda eps, momentum, _relu: FusedNorm(eps, momentum, relu=False))
    assert "the kernels gave other numbers than torch: by" in (why_not(CPU) or "")


def test_a_device_without_a_compiler_says_so(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    def no_compiler(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(fused_norm, "kernels", no_compiler)
    assert "Failed to find C compiler" in (why_not(CPU) or "")


def test_a_convolution_twice_in_a_network_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.norm(self.conv(x)))  # type: ignore[no-any-return]

    fused = fuse(Twice().train())
    assert fused is not None
    assert not any(isinstance(module, SideConv) for module in fused.network.modules())
    assert isinstance(SideConv(nn.Conv2d(4, 4, 3), Side())(torch.zeros(1, 4, 5, 5), torch.ones(4, 4, 3, 3)), Tensor)
